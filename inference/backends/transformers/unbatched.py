"""Pipelines whose stages do not map onto batches: called as a whole, for one input after the other."""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import StoppingCriteria, StoppingCriteriaList

from inference.backends.base import Outcome
from inference.backends.transformers.description import describe
from inference.backends.transformers.devices import release_memory
from inference.backends.transformers.encoder import attempt, to_json
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.rows import Row, TokenizedJob, check_length
from inference.errors import InferenceError, Invalid
from inference.messaging.messages import Job

DEFAULT_NEW_TOKENS = 256
"""The text-generation pipeline's, where the model's own configuration has none."""
PROMPT_TOKENS_PER_STEP = 32
"""Tokens of a prompt that are read in about the time of one new token: on a CPU; elsewhere they are more."""


class Unbatched:
    shares_calls = False
    warm_up_costs: Sequence[tuple[int, int, float]] = ()
    pads = False
    concurrent_batches = 1

    def __init__(self, loaded: Loaded) -> None:
        self.description = describe(loaded)
        self._pipe = loaded.pipe
        self._tokenizer = copy.deepcopy(loaded.pipe.tokenizer)

    def prepare(self, jobs: Sequence[Job]) -> list[TokenizedJob | InferenceError]:
        return [attempt(job, self._prepare, job) for job in jobs]

    def use_threads(self, threads: int) -> None:
        torch.set_num_threads(threads)

    def close(self) -> None:
        device = self.description.device
        vars(self).clear()
        release_memory(device)

    def run(self, prepared: Sequence[TokenizedJob]) -> list[Outcome]:
        return [attempt(item.job, self._call, item) for item in prepared]

    def _prepare(self, job: Job) -> TokenizedJob:
        tokens = self._tokens(job.input)
        limit = self.description.longest_input
        check_length(len(tokens), limit)
        return TokenizedJob(job, [Row({"input_ids": tokens})])

    def _tokens(self, given: Any) -> list[int]:
        tokens: list[int] = self._tokenizer(given, verbose=False)["input_ids"]
        return tokens

    def _call(self, item: TokenizedJob) -> bytes:
        return to_json(self._pipe(item.job.input, **item.job.parameters))


@dataclass(eq=False, slots=True)
class Writing(TokenizedJob):
    """A text to be generated, which is measured in steps of the model: one for each new token, some for the prompt."""

    stopped: bool = False

    @property
    def prompt_tokens(self) -> int:
        return self.rows[0].length

    def measure(self, new_tokens: int) -> None:
        self.tokens = self.longest = self.prompt_tokens // PROMPT_TOKENS_PER_STEP + new_tokens

    def stop(self) -> None:
        self.stopped = True


class Steps(StoppingCriteria):  # type: ignore[misc]
    """Counts the steps of one text, and ends it when nobody waits for it any more.

    Its time is counted from the call, so that it is over only after the web process's own deadline.
    """

    def __init__(self, item: Writing) -> None:
        self.taken = 0
        self._item = item
        self._ends_at = time.monotonic() + item.job.time_left_s

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        self.taken += 1
        over = self._item.stopped or time.monotonic() >= self._ends_at
        return torch.full((len(input_ids),), over, dtype=torch.bool, device=input_ids.device)


class TextGeneration(Unbatched):
    """Whole texts, one after the other. What an earlier worker generated of one is generated again."""

    def _prepare(self, job: Job) -> Writing:
        writing = Writing(job, super()._prepare(job).rows)
        room = self.description.longest_input - writing.prompt_tokens
        wanted = job.parameters.get("max_new_tokens")
        if room < (wanted or 1):
            raise Invalid(
                f"The input has {writing.prompt_tokens} tokens and max_new_tokens is {wanted or 'at least 1'}; "
                f"together they may be {self.description.longest_input}, so shorten one of them."
            )
        default = self._default_new_tokens(writing.prompt_tokens)
        if wanted is None and room < default:
            writing.postprocess["max_new_tokens"] = room  # the default is more than the model has places for
        writing.measure(wanted or min(default, room))
        return writing

    def _default_new_tokens(self, prompt_tokens: int) -> int:
        configured = self._pipe.model.generation_config
        if configured.max_length and not configured.max_new_tokens:
            return max(1, int(configured.max_length) - prompt_tokens)
        return int(configured.max_new_tokens or DEFAULT_NEW_TOKENS)

    def _tokens(self, given: Any) -> list[int]:
        if isinstance(given, str):
            return super()._tokens(given)
        try:
            tokens: list[int] = self._tokenizer.apply_chat_template(given, return_dict=True)["input_ids"]
        except TemplateError as error:
            raise Invalid(f"The model's chat template does not take these messages: {error}.") from error
        return tokens

    def _call(self, item: Writing) -> bytes:  # type: ignore[override]
        steps = Steps(item)
        parameters = item.job.parameters | item.postprocess | {"stopping_criteria": StoppingCriteriaList([steps])}
        if "seed" in parameters:
            torch.manual_seed(parameters.pop("seed"))
        if "stop" in parameters:
            parameters |= {"stop_strings": parameters.pop("stop"), "tokenizer": self._pipe.tokenizer}
        try:
            return to_json(self._pipe(item.job.input, **parameters))
        finally:
            item.measure(steps.taken)
