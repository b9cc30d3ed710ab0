"""What a document depends on, of each pipeline."""

from dataclasses import replace
from typing import NamedTuple

from inference.tasks import TASKS
from inference.tasks.base import Task
from inference.tasks.inputs import TextInput

MASK = "[MASK]"
"""Stands for the mask of a model that no worker has described yet."""


class Pipeline(NamedTuple):
    name: str
    task_name: str
    """Empty while it is unknown."""
    mask_token: str = ""
    chat: bool = True
    """Where its task has chats, its model has a chat template."""

    @property
    def task(self) -> Task | None:
        """As its model is: what it takes, and an example."""
        task = TASKS.get(self.task_name)
        if task is None:
            return None
        form = task.input if self.chat or not task.input.chats else TextInput()
        return replace(task, input=form, example=task.example_for(self.mask_token or MASK))
