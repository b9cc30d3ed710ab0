"""Pipelines that are not made of rows: called as a whole, for one input after the other."""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from inference.backends.base import Outcome
from inference.backends.transformers.description import describe
from inference.backends.transformers.devices import release_memory
from inference.backends.transformers.encoder import attempt, to_json
from inference.backends.transformers.generation.adjustments import PARAMETERS as ADJUSTING
from inference.backends.transformers.generation.adjustments import Adjusting, Adjustments
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.rows import Row, TokenizedJob, check_least, check_length, check_room
from inference.errors import InferenceError, Invalid
from inference.messaging.messages import Job
from inference.tasks.inputs import token_ids
from inference.tasks.media import Media

DEFAULT_NEW_TOKENS = 256
"""The pipeline's default, where the model's own configuration has none."""
NOT_OF_GENERATE = ADJUSTING | {"top_n_tokens"}
PROMPT_TOKENS_PER_STEP = 32
"""Tokens of a prompt that take about as long as one new token on a CPU; on other devices it is more of them."""


class Unbatched:
    """``prepare`` runs on the tokenizer's thread and ``run`` on the model's, each with a tokenizer of its own."""

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

    def run(self, batch: Sequence[TokenizedJob]) -> list[Outcome]:
        return [attempt(item.job, self._call, item) for item in batch]

    def _prepare(self, job: Job) -> TokenizedJob:
        tokens = self._tokens(job.input)
        check_length(len(tokens), self.description.longest_input)
        return TokenizedJob(job, [Row({"input_ids": tokens})])

    def _tokens(self, given: Any) -> list[int]:
        tokens: list[int] = self._tokenizer(given, verbose=False)["input_ids"]
        return tokens

    def _call(self, item: Any) -> bytes | Media:
        return to_json(self._pipe(item.job.input, **item.job.parameters))


@dataclass(eq=False, slots=True)
class GenerationJob(TokenizedJob):
    """A text to generate. Its size is in steps of the model: one for each new token, and some for the prompt."""

    stopped: bool = False

    @property
    def prompt_tokens(self) -> int:
        return self.rows[0].length

    def count(self, new_tokens: int) -> None:
        self.tokens = self.longest = self.prompt_tokens // PROMPT_TOKENS_PER_STEP + new_tokens

    def stop(self) -> None:
        self.stopped = True


class StepCounter(StoppingCriteria):  # type: ignore[misc]
    """Counts the steps of one text, and ends it when it was cancelled or its time is over.

    Its time is counted from the call, so that it ends only after the web process's own deadline.
    """

    def __init__(self, item: GenerationJob) -> None:
        self.steps = 0
        self._item = item
        self._ends_at = time.monotonic() + item.job.time_left_s

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        self.steps += 1
        over = self._item.stopped or time.monotonic() >= self._ends_at
        return torch.full((len(input_ids),), over, dtype=torch.bool, device=input_ids.device)


class UnbatchedTextGeneration(Unbatched):
    """Whole texts, one after the other. Tokens that an earlier worker generated are generated again."""

    def _prepare(self, job: Job) -> GenerationJob:
        if "grammar" in job.parameters:
            raise Invalid("This model generates texts as a whole, which cannot follow a grammar; leave grammar out.")
        if job.parameters.get("top_n_tokens"):
            raise Invalid("This model generates texts as a whole, without their tokens; leave top_n_tokens out.")
        generated = GenerationJob(job, super()._prepare(job).rows)
        wanted = job.parameters.get("max_new_tokens")
        room = check_room(generated.prompt_tokens, wanted, self.description.longest_input)
        default = self._default_new_tokens(generated.prompt_tokens)
        if wanted is None and room < default:
            generated.postprocess["max_new_tokens"] = room  # the default is more than the model has places for
        check_least(job.parameters, new_tokens := wanted or min(default, room))
        generated.count(new_tokens)
        return generated

    def _default_new_tokens(self, prompt_tokens: int) -> int:
        configured = self._pipe.model.generation_config
        if configured.max_length and not configured.max_new_tokens:
            return max(1, int(configured.max_length) - prompt_tokens)
        return int(configured.max_new_tokens or DEFAULT_NEW_TOKENS)

    def _tokens(self, given: Any) -> list[int]:
        if isinstance(given, str):
            return super()._tokens(given)
        if (tokens := token_ids(given)) is not None:
            return tokens
        if isinstance(given, dict):
            raise Invalid("This model generates texts as a whole, which cannot call tools; leave tools out.")
        try:
            chat: list[int] = self._tokenizer.apply_chat_template(given, return_dict=True)["input_ids"]
        except TemplateError as error:
            raise Invalid(f"The model's chat template does not take these messages: {error}.") from error
        return chat

    def _call(self, item: GenerationJob) -> bytes:
        counter = StepCounter(item)
        parameters = item.job.parameters | item.postprocess | {"stopping_criteria": StoppingCriteriaList([counter])}
        if adjustments := Adjustments.of(parameters):
            parameters["logits_processor"] = LogitsProcessorList([Adjusting(adjustments, item.prompt_tokens)])
        for name in NOT_OF_GENERATE & parameters.keys():
            del parameters[name]
        if "seed" in parameters:
            torch.manual_seed(parameters.pop("seed"))
        if "stop" in parameters:
            parameters |= {"stop_strings": parameters.pop("stop"), "tokenizer": self._pipe.tokenizer}
        try:
            return self.answer(item, parameters)
        finally:
            item.count(counter.steps)

    def answer(self, item: Any, parameters: dict[str, Any]) -> bytes:
        """What the pipeline returns, with parameters of ``generate``."""
        if (given := token_ids(item.job.input)) is None:
            return to_json(self._pipe(item.job.input, **parameters))
        _, forward, post = self._pipe._sanitize_parameters(**parameters)
        ids, prompt = torch.tensor([given]), self._pipe.tokenizer.decode(given, skip_special_tokens=True)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "prompt_text": prompt}
        outputs = self._pipe.forward(inputs, **self._pipe._forward_params | forward)
        return to_json(self._pipe.postprocess(outputs, **self._pipe._postprocess_params | post))
