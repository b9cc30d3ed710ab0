"""Pipelines whose stages do not map onto batches: called as a whole, for one input after the other."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jinja2 import TemplateError

from inference.errors import InferenceError, Invalid
from inference.messages import Job
from inference.pipelines.describing import describe
from inference.pipelines.encoder import attempt, to_json
from inference.pipelines.inputs import Prepared, Row, check_length
from inference.pipelines.loading import Loaded
from inference.runner import Outcome

DEFAULT_NEW_TOKENS = 256
"""The text-generation pipeline's, where the model's own configuration has none."""


class Whole:
    warm_up_costs: Sequence[tuple[int, int, float]] = ()
    pads = False
    lanes = 1

    def __init__(self, loaded: Loaded) -> None:
        self.description = describe(loaded)
        self._pipe = loaded.pipe
        self._tokenizer = copy.deepcopy(loaded.pipe.tokenizer)

    def prepare(self, jobs: Sequence[Job]) -> list[Prepared | InferenceError]:
        return [attempt(job, self._prepare, job) for job in jobs]

    def use_threads(self, threads: int) -> None:
        torch.set_num_threads(threads)

    def run(self, prepared: Sequence[Prepared]) -> list[Outcome]:
        return [attempt(item.job, self._call, item) for item in prepared]

    def _prepare(self, job: Job) -> Prepared:
        tokens = self._tokens(job.input)
        limit = self.description.longest_input
        check_length(len(tokens), limit)
        return Prepared(job, [Row({"input_ids": tokens})])

    def _tokens(self, given: Any) -> list[int]:
        tokens: list[int] = self._tokenizer(given, verbose=False)["input_ids"]
        return tokens

    def _call(self, item: Prepared) -> bytes:
        return to_json(self._pipe(item.job.input, **item.job.parameters))


class TextGeneration(Whole):
    """Whole texts, one after the other. What an earlier worker generated of one is generated again."""

    def _prepare(self, job: Job) -> Prepared:
        prepared = super()._prepare(job)
        room = self.description.longest_input - prepared.tokens
        wanted = job.parameters.get("max_new_tokens")
        if room < (wanted or 1):
            raise Invalid(
                f"The input has {prepared.tokens} tokens and max_new_tokens is {wanted or 'at least 1'}; "
                f"together they may be {self.description.longest_input}, so shorten one of them."
            )
        default = self._pipe.model.generation_config.max_new_tokens or DEFAULT_NEW_TOKENS
        if wanted is None and room < default:
            prepared.postprocess["max_new_tokens"] = room  # the default is more than the model has places for
        return prepared

    def _tokens(self, given: Any) -> list[int]:
        if isinstance(given, str):
            return super()._tokens(given)
        try:
            tokens: list[int] = self._tokenizer.apply_chat_template(given, return_dict=True)["input_ids"]
        except TemplateError as error:
            raise Invalid(f"The model's chat template does not take these messages: {error}.") from error
        return tokens

    def _call(self, item: Prepared) -> bytes:
        parameters = item.job.parameters | item.postprocess
        if "seed" in parameters:
            torch.manual_seed(parameters.pop("seed"))
        if "stop" in parameters:
            parameters |= {"stop_strings": parameters.pop("stop"), "tokenizer": self._pipe.tokenizer}
        return to_json(self._pipe(item.job.input, **parameters))
