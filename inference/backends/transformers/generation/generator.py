"""Continuous batching: all running texts go through the model together, one token at a time."""

from collections.abc import Collection, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from inference.backends.base import Generated, Outcome, Stepped, TextFigures
from inference.backends.transformers.description import describe
from inference.backends.transformers.devices import release_memory
from inference.backends.transformers.encoder import attempt, to_json
from inference.backends.transformers.generation.attention import NAME, ShapeFinder, register
from inference.backends.transformers.generation.fused_decoder import FusedDecoder
from inference.backends.transformers.generation.fusing import fused_decoder
from inference.backends.transformers.generation.kv_cache import KVCache, Shape
from inference.backends.transformers.generation.plan import (
    PROMPT_TOKENS,
    Plan,
    are_guessed,
    guesses,
    plan,
    planned_tokens,
)
from inference.backends.transformers.generation.preparation import TextPreparation, answer, whole
from inference.backends.transformers.generation.sampling import SampledToken, SamplingInput, sample
from inference.backends.transformers.generation.spans import PromptPart
from inference.backends.transformers.generation.step_threads import StepThreads
from inference.backends.transformers.generation.text import Text
from inference.backends.transformers.generation.to_the_end import to_the_end
from inference.backends.transformers.generation.vocabulary import Vocabulary
from inference.backends.transformers.loaded import Loaded
from inference.conf import Conf
from inference.errors import InferenceError, Invalid
from inference.messaging.messages import Job

if TYPE_CHECKING:
    from inference.backends.transformers.generation.draft_model import DraftModel

LAYERS = {"full_attention", "sliding_attention"}
STRETCHED = ("dynamic", "longrope")
"""Rotary positions that depend on the length of the text: as it grows, what is cached would have to change."""


class Generator:
    """``prepare`` runs on the tokenizer's thread, everything else on the model's.

    Raises:
        ValueError: the model cannot be run like this; the message says why.
    """

    warm_up_costs: Sequence[tuple[int, int, float]] = ()
    shares_calls = True
    pads = False
    concurrent_batches = 1

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        self._pipe = loaded.pipe
        self._model = loaded.pipe.model
        _check_kind(self._model.config)
        register()
        self._model.set_attn_implementation(NAME)
        if self._model.config._attn_implementation != NAME:
            raise ValueError("its attention cannot be exchanged")
        self.fused: FusedDecoder | None = None
        """Runs instead of the model, if it is there."""
        self.draft_model: DraftModel | None = None
        self._guessed, self._right = 0, 0
        self.threads = StepThreads()
        self.description = describe(loaded, streams=True)
        longest = min(self.description.longest_input, conf.max_batch_tokens)
        self.cache = KVCache(self._shape(), conf.max_batch_tokens, longest, conf.prefix_cache_mb << 20)
        self._requests = TextPreparation(loaded.pipe, self.description, longest, self.cache.capacity, conf)
        self._special = frozenset(loaded.pipe.tokenizer.all_special_ids)
        self._vocabulary = Vocabulary(loaded.pipe.tokenizer)

    def prepare(self, jobs: Sequence[Job]) -> list[Text | InferenceError]:
        return [attempt(job, self._requests.text, job) for job in jobs]

    def cache_tokens(self, prepared: Collection[Text]) -> int:
        return self.cache.needed(prepared)

    def fitting(self, prepared: Sequence[Text]) -> Sequence[Text]:
        """The first ones, as many as the cache holds at once."""
        most = self.cache.most
        return prepared[: sum(self.cache.needed(prepared[: n + 1]) <= most for n in range(len(prepared)))]

    @torch.inference_mode()
    def retain(self, prepared: Collection[Text]) -> None:
        """Free the rows of all other texts in the cache."""
        for text in self.cache.texts.difference(prepared):
            self.cache.remove(text)
        if self.draft_model is not None:
            self.draft_model.retain(prepared)

    def step_tokens(self, prepared: Sequence[Text], prompt_tokens: int | None = None) -> int:
        drafted = self.draft_model.tokens(prepared) if self.draft_model is not None else 0
        return planned_tokens(prepared, self.cache, prompt_tokens) + drafted

    @torch.inference_mode()
    def step(self, prepared: Sequence[Text], prompt_tokens: int | None = None) -> list[Stepped]:
        """The next token of each text, in order, and others that were guessed; ``None`` while its prompt is read.

        If it raises, nothing has changed for any of them: the step can be repeated with fewer.
        """
        this = plan(prepared, self.cache, prompt_tokens, self._guesses(prepared))
        inputs = [
            SamplingInput(text.sampling, [*text.ids, *guess[:n]], text.index + n)
            for text, guess in this.guesses
            for n in range(len(guess) + 1)
        ]
        with self.threads.of(len(this.ids)):
            logits = self._logits(this)
        sampled = iter(sample(logits, inputs))
        self._note_read(this)
        outcomes = {text: self._take(text, guess, [*islice(sampled, len(guess) + 1)]) for text, guess in this.guesses}
        return [outcomes.get(text) for text in prepared]

    @torch.inference_mode()
    def logits(self, prepared: Sequence[Text]) -> torch.Tensor:
        """Scores of the next token of each, ``[text, vocabulary]``; no text changes."""
        return self._logits(plan(prepared, self.cache))

    @torch.inference_mode()
    def extend(self, text: Text) -> int | None:
        """Append the likeliest next token, whatever it is, or ``None`` where more of the text must be read first."""
        this = plan([text], self.cache, PROMPT_TOKENS)
        with self.threads.of(len(this.ids)):
            logits = self._logits(this)
        self._note_read(this)
        if not this.chosen:
            return None
        token = int(logits[0].argmax())
        text.decoding, text.cached = True, len(text.ids)
        text.ids.append(token)
        return token

    @property
    def figures(self) -> TextFigures:
        of_prefixes = self.cache.prefixes.figures
        return TextFigures(*of_prefixes[:3], self._guessed, self._right)

    def run(self, prepared: Sequence[Text]) -> list[Outcome]:
        """Generate these to their ends, and nothing else meanwhile."""
        return to_the_end(self, prepared)

    def use_threads(self, threads: int) -> None:
        torch.set_num_threads(threads)

    def close(self) -> None:
        device = self.description.device
        self.retain(())
        if self.draft_model is not None:
            self.draft_model.close()
        vars(self).clear()
        release_memory(device)

    def _guesses(self, texts: Sequence[Text]) -> dict[Text, list[int]]:
        found = guesses(texts)
        if self.draft_model is not None and are_guessed(texts):
            found |= self.draft_model.guesses([text for text in texts if text not in found])
        return found

    def _note_read(self, this: Plan) -> None:
        for span in this.spans:
            if type(span) is PromptPart:
                self.cache.note_read(span.text, span.end)

    def _logits(self, this: Plan, spans: Any = None) -> torch.Tensor:
        device = self._pipe.device
        places = torch.tensor(this.places, dtype=torch.long, device=device)
        if self.fused is not None:
            ids, positions = torch.tensor(this.ids, device=device), torch.tensor(this.positions, device=device)
            return self.fused(ids, positions, this.spans, places)  # type: ignore[no-any-return]
        logits: torch.Tensor = self._model(
            input_ids=torch.tensor([this.ids], device=device),
            position_ids=torch.tensor([this.positions], device=device),
            attention_mask=torch.ones(1, 1, 1, 1, device=device),  # of four dimensions: transformers makes no other
            use_cache=False,
            logits_to_keep=places,
            spans=spans or this.spans,
        ).logits[0]
        return logits if len(logits) == len(places) else logits[places]

    def _take(self, text: Text, guess: Sequence[int], tokens: Sequence[SampledToken]) -> Stepped:
        """The first token, and each further one as long as the one before it is what was guessed."""
        text.decoding = True
        made: list[Generated] = []
        for token, guessed in zip(tokens, [*guess, None], strict=True):
            outcome: Generated | InferenceError = attempt(text.job, self._generated, text, token)
            if isinstance(outcome, InferenceError):
                return outcome
            made.append(outcome)
            if outcome.finish_reason or token.token != guessed:
                break
        if not (guess and text.drafts):
            return made[0]
        text.drafts.source.note(len(text.ids), len(guess), len(made) - 1)
        self._guessed += len(guess)
        self._right += len(made) - 1
        return made

    def _generated(self, text: Text, token: SampledToken) -> Generated:
        if (grammar := text.sampling.grammar) and grammar.problem:
            raise Invalid(grammar.problem)
        index = text.index
        piece, reason = text.take(token.token)
        output = b""
        if reason:
            piece += text.pieces.rest(whole(self._pipe.tokenizer, text.generated))
            output = to_json(answer(self._pipe, text))
        return Generated(
            index=index,
            token=token.token,
            text=piece,
            logprob=token.logprob,
            special=token.token in self._special,
            data=self._vocabulary.bytes_of(token.token),
            top=tuple((each, self._vocabulary.text_of(each), logprob) for each, logprob in token.top),
            finish_reason=reason,
            output=output,
        )

    @torch.inference_mode()
    def _shape(self) -> Shape:
        finder = ShapeFinder()
        self._logits(Plan(ids=[0], positions=[0]), finder)
        self._attention = finder.inputs
        return finder.shape()

    @torch.inference_mode()
    def fuse(self) -> None:
        """Raises ``ValueError`` if the model has parts that ``fused_decoder`` does not know."""
        self.fused = fused_decoder(self._model, self._attention)

    def drop_stock_layers(self) -> None:
        """The model's own way is not needed any more, nor are its references to weights, which may be packed."""
        self._attention = {}
        self._model.model.layers = torch.nn.ModuleList()
        self._model.model.embed_tokens = self._model.lm_head = torch.nn.Identity()
        self._model.add_module("fused", self.fused)


def _check_kind(config: Any) -> None:
    """Raises ``ValueError`` for kinds of models whose errors a short self-check would not find."""
    text = config.get_text_config(decoder=True)
    if config.is_encoder_decoder:
        raise ValueError("it has an encoder")
    if others := set(getattr(text, "layer_types", None) or ()) - LAYERS:
        raise ValueError(f"it has layers of another kind ({', '.join(sorted(others))})")
    if any(kind in repr(getattr(text, "rope_parameters", None)) for kind in STRETCHED):
        raise ValueError("its rotary positions depend on the text's length")
