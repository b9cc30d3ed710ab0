"""Which task a checkpoint serves."""

from collections.abc import Mapping
from typing import Any

from inference.backends.base import LoadFailed
from inference.backends.transformers import task as transformers_tasks
from inference.backends.transformers.task import TransformersTask
from inference.conf import Conf
from inference.tasks import TASKS, find
from inference.tasks.base import Task

NOT_SERVED = {
    "ForConditionalGeneration": "sequence-to-sequence generation",
    "ForSeq2SeqLM": "sequence-to-sequence generation",
    "ForMultipleChoice": "multiple-choice",
    "ForNextSentencePrediction": "next-sentence-prediction",
    "ForVideoClassification": "video-classification",
}
"""What usual architectures are for, by the ending of their names, where no task serves them."""


def task_of(conf: Conf, config: Any) -> tuple[Task, TransformersTask]:
    """The task that was asked for, or the one that the checkpoint was trained for.

    Raises:
        LoadFailed: there is none, it is not served, or the checkpoint is not fit for it.
    """
    task = _asked(conf) or _trained_for(conf.model, config)
    spec = transformers_tasks.find(task)
    if spec is None:
        raise LoadFailed(f"{task.name} is not served: no module says how transformers runs it.")
    if spec.exclusive and (others := _purposes(config)) and task.name not in others:
        raise LoadFailed(f"{conf.model} was trained for {' and '.join(sorted(others))}, not for {task.name}.")
    if spec.check:
        spec.check(conf.model, config)
    return task, spec


def _asked(conf: Conf) -> Task | None:
    if not conf.task:
        return None
    task = find(conf.task)
    if task is None:
        raise LoadFailed(f"INFERENCE_TASK is {conf.task!r}; it must be one of {', '.join(TASKS)}.")
    return task


def _trained_for(model: str, config: Any) -> Task:
    served = _served()
    for architecture in config.architectures or ():
        purpose = _purpose(architecture, NOT_SERVED | served)
        if purpose in served.values():
            return TASKS[purpose]
        if purpose:
            raise LoadFailed(
                f"{model} was made for {purpose} ({architecture}), which this server does not serve; "
                f"it serves {', '.join(TASKS)}."
            )
    raise LoadFailed(
        f"{model} does not say what it is for ({config.architectures}); "
        f"set INFERENCE_TASK to one of {', '.join(TASKS)}."
    )


def _purposes(config: Any) -> set[str]:
    """Names of the tasks that a checkpoint was trained for."""
    served = _served()
    return {purpose for architecture in config.architectures or () if (purpose := _purpose(architecture, served))}


def _served() -> dict[str, str]:
    """Names of tasks by the endings of architectures that are trained for them."""
    declared = {name: transformers_tasks.find(task) for name, task in TASKS.items()}
    return {ending: name for name, spec in declared.items() if spec for ending in spec.architectures}


def _purpose(architecture: str, by_ending: Mapping[str, str]) -> str:
    """By the longest ending, since ``GPT2LMHeadModel`` is also a ``Model``; empty if there is none."""
    endings = [ending for ending in by_ending if architecture.endswith(ending)]
    return by_ending[max(endings, key=len)] if endings else ""
