"""The fake pipeline, as a test sees it."""

import threading
from typing import Any

import msgspec

from inference import tasks
from inference.errors import InferenceError
from inference.messaging.messages import Description
from inference.testing.answers import Answer, default_answer


class FakePipeline:
    """Answers by a function or with a fixed value, and records its inputs.

    All attributes may be changed at any time.

    Args:
        task: the pipeline task, such as ``fill-mask``.
        answer: see the attribute.
        delay_s: see the attribute.
        described: fields of the description that the front page and the validation of requests use, such as
            ``mask_token`` or ``longest_input_chars``.
    """

    def __init__(self, task: str = "fill-mask", answer: Any = None, *, delay_s: float = 0.0, **described: Any) -> None:
        self.description = msgspec.structs.replace(_description(task), **described)
        self.answer: Answer | Any = default_answer(self.description) if answer is None else answer
        """What an input is answered, as a JSON value: a function of input and parameters, or the same for all.

        For ``text-generation`` it is the continuation: a text, whose words are the tokens, or a list of tokens, among
        which an exception fails the rest. If a function raises an ``InferenceError``, or the list has one, that is the
        error of its input; any other exception makes the call fail, as one of a model does.
        """
        self.delay_s = delay_s
        """How long each call of the pipeline takes: a batch, or a token of a generated text."""
        self.error: InferenceError | None = None
        """With which every request ends before it reaches the pipeline, such as ``Overloaded("Too busy.")``."""
        self.inputs: list[Any] = []
        """What the pipeline was given, in order."""
        self.parameters: list[dict[str, Any]] = []
        """The parameters with each input, validated; where the task samples, with a seed."""
        self.stopping = threading.Event()
        """Ends all delays."""

    def answer_to(self, given: Any, parameters: dict[str, Any]) -> Any:
        """Record an input and answer it; called by the backend."""
        self.inputs.append(given)
        self.parameters.append(parameters)
        return self.answer(given, parameters) if callable(self.answer) else self.answer

    def delay(self) -> None:
        """Take ``delay_s``; called by the backend."""
        if self.delay_s:
            self.stopping.wait(self.delay_s)


def _description(name: str) -> Description:
    task = tasks.find(name)
    masked = bool(task and task.input.masked)
    generates = bool(task and task.output == "text" and not task.input.media)
    return Description(
        task=task.name if task else name,
        model="fake",
        revision="",
        device="cpu",
        dtype="float32",
        threads=1,
        vocabulary=30_000,
        mask_token="[MASK]" if masked else "",
        longest_input=512,
        longest_input_chars=512 * 64,
        streams=generates,
        chat=generates,
        version="fake",
    )
