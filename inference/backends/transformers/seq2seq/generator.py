"""Continuous batching of encoder-decoder models: all running texts get their next token together."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from inference.backends.base import Generated, Outcome
from inference.backends.transformers.devices import release_memory
from inference.backends.transformers.encoder import attempt, to_json
from inference.backends.transformers.generation.sampling import SampledToken, SamplingInput, sample
from inference.backends.transformers.generation.to_the_end import to_the_end
from inference.backends.transformers.generation.vocabulary import Vocabulary
from inference.backends.transformers.seq2seq.batch import Batch, Moved, merged, moved
from inference.backends.transformers.seq2seq.beams import Beams, advanced
from inference.backends.transformers.seq2seq.decoder import Decoder
from inference.backends.transformers.seq2seq.text import EncodedText
from inference.conf import Conf
from inference.errors import InferenceError
from inference.messaging.messages import Description, Job

SOURCE_TOKENS = 256
"""Of sources that are read in one step while other texts wait for their next token; always at least one source."""
ALONE_TOKENS = 1024
"""The same while no text waits."""


class Preparation(Protocol):
    """From jobs to texts; runs on the tokenizer's thread."""

    def text(self, job: Job) -> EncodedText:
        """Raises ``InferenceError``."""
        ...


@dataclass(frozen=True)
class Step:
    """What the model says of a batch; nothing has changed yet."""

    batch: Batch
    logits: torch.Tensor
    read: int
    """Columns that the step adds to the cache."""


class Seq2SeqGenerator:
    """``prepare`` runs on the tokenizer's thread, everything else on the model's."""

    warm_up_costs: Sequence[tuple[int, int, float]] = ()
    shares_calls = True
    pads = False
    concurrent_batches = 1

    def __init__(  # noqa: PLR0913 - what it is made of
        self,
        description: Description,
        decoder: Decoder,
        requests: Preparation,
        special: Iterable[int],
        conf: Conf,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        """``special``: ids of tokens that are no part of the text. ``vocabulary``: tokens have bytes of their own."""
        self.description = description
        self.most = conf.max_batch_tokens
        self._decoder = decoder
        self._requests = requests
        self._special = frozenset(special)
        self._vocabulary = vocabulary
        self._batches: list[Batch] = []

    def prepare(self, jobs: Sequence[Job]) -> list[EncodedText | InferenceError]:
        return [attempt(job, self._requests.text, job) for job in jobs]

    def cache_tokens(self, prepared: Collection[EncodedText]) -> int:
        total = 0
        for width, texts in _by_width(prepared).items():
            source, own = max(text.source_tokens for text in texts), max(text.capacity for text in texts)
            total += len(texts) * (source + width * own)
        return total

    def fitting(self, prepared: Sequence[EncodedText]) -> Sequence[EncodedText]:
        """The first ones, as many as the cache holds at once; always one."""
        count = sum(self.cache_tokens(prepared[: n + 1]) <= self.most for n in range(len(prepared)))
        return prepared[: max(1, count)]

    def retain(self, prepared: Collection[EncodedText]) -> None:
        """Rows of a batch in which some are retained are freed by the next step, which copies it once."""
        kept = set(prepared)
        self._batches = [batch for batch in self._batches if not kept.isdisjoint(batch.texts)]
        for batch in self._batches:
            batch.retained &= kept

    def step_tokens(self, prepared: Sequence[EncodedText], prompt_tokens: int | None = None) -> int:
        running = sum(text.width for text in prepared if text.running)
        return running + sum(text.source_tokens for text in _joining(prepared, prompt_tokens))

    @torch.inference_mode()
    def step(
        self, prepared: Sequence[EncodedText], prompt_tokens: int | None = None
    ) -> list[Generated | InferenceError | None]:
        """The next token of each text, in order; ``None`` while its source waits, or its beams are searched.

        If it raises, nothing has changed for any of them: the step can be repeated with fewer.
        """
        steps = self._forward(prepared, prompt_tokens)
        tokens: dict[EncodedText, SampledToken] = {}
        searches: dict[EncodedText, Beams] = {}
        for each in steps:
            tokens |= _sampled(each)
            searches |= _searched(each)
        after = [_after(each, searches) for each in steps]
        for made, each in zip(after, steps, strict=True):
            made.put()
            if each.batch not in self._batches:
                self._batches.append(each.batch)
        for each in steps:
            for text in each.batch.texts:
                text.running = True
        outcomes = {text: attempt(text.job, self._generated, text, token) for text, token in tokens.items()}
        outcomes |= {text: attempt(text.job, self._found, text, search) for text, search in searches.items()}
        return [outcomes.get(text) for text in prepared]

    @torch.inference_mode()
    def logits(self, prepared: Sequence[EncodedText]) -> torch.Tensor:
        """Scores of the next token of each row; no text changes."""
        return torch.cat([each.logits for each in self._forward(prepared, None)])

    def run(self, prepared: Sequence[EncodedText]) -> list[Outcome]:
        """Generate these to their ends, and nothing else meanwhile."""
        return to_the_end(self, prepared)

    def use_threads(self, threads: int) -> None:
        torch.set_num_threads(threads)

    def close(self) -> None:
        device = self.description.device
        self._decoder.leave()
        vars(self).clear()
        release_memory(device)

    def _forward(self, prepared: Sequence[EncodedText], prompt_tokens: int | None) -> list[Step]:
        """For texts that run, in batches of one width, and for those whose source is read now."""
        self._arrange([text for text in prepared if text.running])
        chosen = set(prepared)
        steps = [
            Step(batch, self._decoder.next(batch), 1) for batch in self._batches if not chosen.isdisjoint(batch.texts)
        ]
        alike: dict[tuple[int, int], list[EncodedText]] = {}
        for text in _joining(prepared, prompt_tokens):
            alike.setdefault((len(text.ids), text.width), []).append(text)
        return steps + [Step(*self._decoder.begin(texts), length) for (length, _), texts in alike.items()]

    def _arrange(self, running: Sequence[EncodedText]) -> None:
        """See to it that these are in batches of their own, one for each width."""
        chosen = set(running)
        arranged = []
        for width, texts in _by_width(running).items():
            have = [batch for batch in self._batches if batch.width == width and not chosen.isdisjoint(batch.texts)]
            arranged.append(have[0] if have[0].texts == texts else merged(texts, have))
        for batch in self._batches:
            if batch in arranged:
                continue
            if others := [text for text in batch.texts if text in batch.retained and text not in chosen]:
                arranged.append(merged(others, [batch]))
        self._batches = arranged

    def _generated(self, text: EncodedText, token: SampledToken) -> Generated:
        index = text.index
        piece, reason = text.take(token.token)
        output = b""
        if reason:
            piece += text.pieces.rest(text.decode(text.generated))
            output = to_json(text.answer(text.ids))
        return Generated(
            index=index,
            token=token.token,
            text=piece,
            logprob=token.logprob,
            special=token.token in self._special,
            data=self._vocabulary.bytes_of(token.token) if self._vocabulary else b"",
            finish_reason=reason,
            output=output,
        )

    def _found(self, text: EncodedText, search: Beams) -> Generated | None:
        text.beams = search
        if not search.done:
            return None
        text.ids = list(search.best)
        last = text.ids[-1]
        return Generated(
            index=text.index - 1,
            token=last,
            text=text.decode(text.generated),
            logprob=search.score,
            special=last in self._special,
            finish_reason=search.finish_reason,
            output=to_json(text.answer(text.ids)),
        )


def _by_width(texts: Iterable[EncodedText]) -> dict[int, list[EncodedText]]:
    found: dict[int, list[EncodedText]] = {}
    for text in texts:
        found.setdefault(text.width, []).append(text)
    return found


def _joining(prepared: Sequence[EncodedText], prompt_tokens: int | None) -> list[EncodedText]:
    """The oldest ones that do not run, as many as may be read in one step."""
    usual = SOURCE_TOKENS if any(text.running for text in prepared) else ALONE_TOKENS
    most = usual if prompt_tokens is None else min(usual, prompt_tokens)
    joining: list[EncodedText] = []
    longest = 0
    for text in prepared:
        if text.running:
            continue
        longest = max(longest, text.source_tokens)
        if joining and longest * (len(joining) + 1) > most:
            break
        joining.append(text)
    return joining


def _sampled(step: Step) -> dict[EncodedText, SampledToken]:
    texts = [text for text in step.batch.texts if text.beams is None]
    inputs = [SamplingInput(text.sampling, text.ids, text.index) for text in texts]
    return dict(zip(texts, sample(step.logits, inputs), strict=True)) if texts else {}


def _searched(step: Step) -> dict[EncodedText, Beams]:
    found = {text: text.beams for text in step.batch.texts if text.beams is not None}
    processors = [text.sampling.processors for text in found]
    return dict(zip(found, advanced(step.logits, [*found.values()], processors), strict=True)) if found else {}


def _after(step: Step, searches: dict[EncodedText, Beams]) -> Moved:
    """Each sequence of a search takes what the one before it has in the cache."""
    batch = step.batch
    origins: list[int] = []
    for n, text in enumerate(batch.texts):
        first = n * batch.width
        origins += [first + origin for origin in searches[text].origins] if text in searches else [first]
    return moved(batch, origins, batch.texts[0].width, step.read)
