"""The backend of the fake pipeline; ``INFERENCE_BACKEND`` may name it like any other.

It loads the pipeline of the test that runs; outside of tests, one with the default answers of ``INFERENCE_TASK``.
"""

import logging
import re
import struct
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any

import msgspec

from inference.backends.base import Generated, LoadFailed, Outcome, Turn, at_once
from inference.conf import Conf
from inference.errors import InferenceError
from inference.messaging.messages import Description, FinishReason, Job
from inference.serving.generation_result import pipeline_output
from inference.tasks import TASKS
from inference.tasks.arrays import Array
from inference.tasks.inputs import token_ids
from inference.tasks.media import Media
from inference.testing.answers import WORD
from inference.testing.fake_pipeline import FakePipeline

logger = logging.getLogger(__name__)
_current: Mapping[str, FakePipeline] = {}
"""By the model's name in the settings of their pipelines."""
_threads: list[threading.Thread] = []


@contextmanager
def using(fakes: Mapping[str, FakePipeline]) -> Iterator[None]:
    """``load`` loads these, by the model's name in the settings; at the end, wait for the threads that have."""
    global _current
    _current = fakes
    try:
        yield
    finally:
        _current = {}
        while _threads:
            _threads.pop().join()


def load(
    conf: Conf, report: Callable[[str], None], turn: Turn = at_once
) -> "FakeBatchedPipeline | FakeSteppedPipeline":
    """Raises ``LoadFailed`` for an unknown task."""
    if _current:
        _threads.append(threading.current_thread())
    else:
        logger.warning("Answers are those of a fake pipeline: INFERENCE_BACKEND is %s", conf.backend)
    try:
        fake = _current.get(conf.model) or FakePipeline(conf.task or "fill-mask")
    except ValueError as error:
        raise LoadFailed(str(error)) from error
    report(f"ready: a fake pipeline for {fake.description.task}")
    return FakeSteppedPipeline(fake) if fake.description.streams else FakeBatchedPipeline(fake)


@dataclass(eq=False)
class FakeJob:
    """A prepared job; each word is a token. ``pieces`` are the tokens of its generated text, once that has begun."""

    job: Job
    input_tokens: int = 0
    truncated: bool = False
    sequences: int = 1
    pieces: list[str | Exception] | None = None
    generated: int = 0

    @property
    def tokens(self) -> int:
        return max(1, self.input_tokens)

    @property
    def longest(self) -> int:
        return self.tokens


class FakeBatchedPipeline:
    """Runs a ``FakePipeline`` in batches."""

    warm_up_costs: Sequence[tuple[int, int, float]] = ()
    concurrent_batches = 1
    pads = False
    shares_calls = True

    def __init__(self, fake: FakePipeline) -> None:
        self.description = fake.description
        self._fake = fake

    def prepare(self, jobs: Sequence[Job]) -> list[FakeJob]:
        return [_prepared(job, self.description) for job in jobs]

    def run(self, batch: Sequence[FakeJob]) -> list[Outcome]:
        self._fake.delay()
        return [self._outcome(prepared.job) for prepared in batch]

    def use_threads(self, threads: int) -> None: ...

    def close(self) -> None: ...

    def _outcome(self, job: Job) -> Outcome:
        try:
            answer = self._fake.answer_to(job.input, job.parameters)
            if isinstance(answer, Media):
                return answer
            if job.arrays and TASKS[self.description.task].output == "vectors":
                return array_of(answer)
            return msgspec.json.encode(answer)
        except InferenceError as error:
            return error


class FakeSteppedPipeline:
    """Generates the answers of a ``FakePipeline`` word by word."""

    warm_up_costs: Sequence[tuple[int, int, float]] = ()

    def __init__(self, fake: FakePipeline) -> None:
        self.description = fake.description
        self._fake = fake

    def prepare(self, jobs: Sequence[Job]) -> list[FakeJob]:
        return [_prepared(job, self.description) for job in jobs]

    def cache_tokens(self, prepared: Collection[FakeJob]) -> int:
        return len(prepared)

    def retain(self, prepared: Collection[FakeJob]) -> None: ...

    def use_threads(self, threads: int) -> None: ...

    def step_tokens(self, prepared: Sequence[FakeJob], prompt_tokens: int | None = None) -> int:
        return len(prepared)

    def step(
        self, prepared: Sequence[FakeJob], prompt_tokens: int | None = None
    ) -> list[Generated | InferenceError | None]:
        self._fake.delay()
        return [self._next(text) for text in prepared]

    def close(self) -> None: ...

    def _next(self, text: FakeJob) -> Generated | InferenceError:
        job = text.job
        try:
            if text.pieces is None:
                text.pieces = pieces(self._fake.answer_to(job.input, job.parameters))
            index = text.generated
            piece = text.pieces[index]
            if isinstance(piece, Exception):
                raise copy(piece)
        except InferenceError as error:
            return error
        text.generated += 1
        limit = job.parameters.get("max_new_tokens", len(text.pieces))
        reason: FinishReason | None = None
        if text.generated >= len(text.pieces):
            reason = "eos_token"
        elif text.generated >= limit:
            reason = "length"
        return Generated(
            index=index,
            token=index,
            text=piece,
            logprob=0.0,
            special=False,
            data=piece.encode(),
            top=_top(index, piece, job.parameters.get("top_n_tokens", 0)),
            finish_reason=reason,
            output=self._output(job, "".join(map(str, text.pieces[: text.generated]))) if reason else b"",
        )

    def _output(self, job: Job, text: str) -> bytes:
        task = TASKS[self.description.task]
        full_text = task.continues and job.parameters.get("return_full_text") is not False
        ids = token_ids(job.input) if task.continues else None
        given = job.input if ids is None else " ".join(map(str, ids))
        return msgspec.json.encode(pipeline_output(given, text, full_text=full_text, field=task.text_field))


def _prepared(job: Job, description: Description) -> FakeJob:
    task = TASKS[description.task]
    ids = token_ids(job.input) if task.continues else None
    read = len(ids) if ids else sum(len(text.split()) for text in task.input.texts(job.input))
    truncated = read > description.longest_input and task.cuts(job.parameters)
    return FakeJob(job, description.longest_input if truncated else read, truncated, generated=len(job.resume))


def _top(token: int, text: str, number: int) -> tuple[tuple[int, str, float], ...]:
    """The token, and others that it might have been."""
    others = ((token + n, f" {WORD}{n}", -float(n)) for n in range(1, number))
    return ((token, text, 0.0), *others) if number else ()


def array_of(vectors: Any) -> Array:
    """Of nested lists of numbers."""
    shape: list[int] = []
    first = vectors
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0]
    for _ in shape[1:]:
        vectors = [each for inner in vectors for each in inner]
    return Array(tuple(shape), struct.pack(f"<{len(vectors)}f", *vectors))


def pieces(answer: str | Iterable[str | Exception]) -> list[str | Exception]:
    """The tokens of a continuation. At least one."""
    return [*(words(answer) if isinstance(answer, str) else answer)] or [""]


def words(text: str) -> list[str]:
    """Of a text, each with the spaces before it; joined, they are the text. At least one."""
    return re.findall(r"\s*\S+(?:\s+$)?", text) or [text]
