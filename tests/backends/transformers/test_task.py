"""A task of another project: registered, and told by a module of its own how transformers runs it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from inference import tasks
from inference.backends.transformers import backend
from inference.backends.transformers.task import TransformersTask
from inference.backends.transformers.text_classification import TextClassification
from inference.conf import Conf
from inference.tasks.base import Task
from inference.tasks.inputs import TextInput
from tests.backends.transformers.running import Make, assert_equal, direct, load, plain, run

TASK: TransformersTask
"""How the task of the test at hand runs."""


@pytest.fixture
def toy() -> Iterator[Callable[[str], None]]:
    def register(module: str) -> None:
        task = Task(name="toy-task", input=TextInput(), output="labels", example="a boat", transformers_module=module)
        tasks.register(task)

    with patch.dict(tasks.TASKS), patch.dict(tasks._by_name_or_alias):
        yield register


@pytest.mark.parametrize(("encoder", "kind"), [(TextClassification, "TextClassification"), (None, "Unbatched")])
def test_its_module_says_how_it_runs(
    monkeypatch: pytest.MonkeyPatch,
    models: Any,
    folder_of: Callable[[Make], Path],
    toy: Callable[[str], None],
    encoder: Any,
    kind: str,
) -> None:
    declared = TransformersTask(
        auto_class="AutoModelForSequenceClassification", pipeline="text-classification", encoder=encoder
    )
    monkeypatch.setitem(globals(), "TASK", declared)
    toy(__name__)
    folder = folder_of(models.text_classification)

    pipeline = load(folder, task="toy-task")

    assert (type(pipeline).__name__, pipeline.description.task) == (kind, "toy-task")
    [answer] = run(pipeline, [("the old river", {})])
    assert_equal(answer, plain(direct(folder, "text-classification")("the old river")))


def test_without_such_a_module_it_cannot_be_served(toy: Callable[[str], None]) -> None:
    toy("")
    with pytest.raises(backend.LoadFailed, match="toy-task is not served: no module says how transformers runs it"):
        backend.load(Conf(task="toy-task"), lambda progress: None)


def test_a_module_that_fails_to_import_is_not_taken_for_one_that_does_not_exist(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, toy: Callable[[str], None]
) -> None:
    (tmp_path / "broken_toy_task.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    toy("broken_toy_task")
    with pytest.raises(backend.LoadFailed, match="no_such_library"):
        backend.load(Conf(task="toy-task"), lambda progress: None)
