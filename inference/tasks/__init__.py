"""Runs in all processes: what each pipeline task takes and gives, one module per task. Imports no model library.

In: a task's name. Out: its description. A module of this package that defines ``TASK`` adds a task; a project that uses
this app adds its own with ``register``.
"""

import pkgutil
from importlib import import_module

from inference.tasks.base import Task

TASKS: dict[str, Task] = {}
"""By name."""
_by_name_or_alias: dict[str, Task] = {}


def find(name: str) -> Task | None:
    """The task with this name or alias."""
    return _by_name_or_alias.get(name)


def register(task: Task) -> None:
    """Add a task.

    Raises:
        ValueError: its name or one of its aliases is taken.
    """
    names = (task.name, *task.aliases)
    for name in names:
        if name in _by_name_or_alias or names.count(name) > 1:
            raise ValueError(f"Two tasks cannot both be called {name!r}; give {task.name} another name or alias.")
    TASKS[task.name] = task
    _by_name_or_alias.update(dict.fromkeys(names, task))


def _register_modules() -> None:
    for found in pkgutil.iter_modules(__path__):
        task = getattr(import_module(f"{__name__}.{found.name}"), "TASK", None)
        if isinstance(task, Task):
            register(task)


_register_modules()
