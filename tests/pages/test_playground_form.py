"""What the playground is told of each task: whoever adds one gets a form for it, or a failure here."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from inference.catalog import Catalog, PipelineSpec
from inference.conf import Conf
from inference.messaging.messages import Description
from inference.pages import assets
from inference.pages.modules import imports, needed
from inference.pages.playground_examples import OF, more_examples
from inference.pages.playground_form import described
from inference.serving.pipeline_state import PipelineState
from inference.tasks import TASKS
from inference.tasks.inputs import is_chat
from inference.testing import FakePipeline

SCRIPTS = {asset.name: asset.content.decode() for asset in assets.assets()}


def description_of(task: str, **fields: Any) -> Description:
    return msgspec.structs.replace(FakePipeline(task).description, **fields)


def form_of(description: Description, *, others: int = 0, **options: Any) -> dict[str, Any]:
    names = ["mine", *(f"other{number}" for number in range(others))]
    specs = [PipelineSpec(name=name, conf=Conf(task=description.task)) for name in names]

    def state(name: str) -> PipelineState:
        return PipelineState(
            **dict.fromkeys(("reason", "revision", "device", "dtype"), ""), name=name, aliases=(), state="ready",
            task=description.task, model="a model", version="1", workers=1, hosts=(), queue=0, jobs_per_second=0.0,
        )  # fmt: skip

    deployment: Any = SimpleNamespace(
        catalog=Catalog(specs), states=lambda: [state(name) for name in names], description=lambda name: description
    )
    return described(deployment, specs[0], root="/below", most_bytes=1000, **{"key_needed": False} | options)


@pytest.mark.parametrize("name", TASKS)
def test_each_task_has_a_form(name: str) -> None:
    form = form_of(description_of(name))
    assert f"playground/inputs/{form['input']['form']}.js" in SCRIPTS
    assert [each["name"] for each in form["parameters"]] == list(TASKS[name].parameters)
    assert {each["name"] for each in form["parameters"] if each["required"]} <= form["example_parameters"].keys()
    assert msgspec.json.decode(msgspec.json.encode(form)) == form


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("chat", [False, True])
def test_examples_are_right(name: str, chat: bool) -> None:
    task, description = TASKS[name], description_of(name, chat=chat)
    for each in more_examples(task, description):
        inputs = each["inputs"]
        many = isinstance(inputs, list) and not is_chat(inputs)
        for value in inputs if many else [inputs]:
            task.input.checked("The example", value, description)
        for parameter, value in each["parameters"].items():
            assert task.parameters[parameter].kind.accepts(value), (each["name"], parameter)


def test_each_example_is_one_of_a_task() -> None:
    shown = {
        example["name"]
        for name in TASKS
        for chat in (False, True)
        for example in more_examples(TASKS[name], description_of(name, chat=chat))
    }
    assert {example.name for examples in OF.values() for example in examples} == shown


def test_a_mask_is_that_of_the_model() -> None:
    form = form_of(description_of("fill-mask", mask_token="<m>"))
    assert form["input"]["mask_token"] == "<m>"
    assert "<m>" in form["example"]
    assert all("<m>" in str(each["inputs"]) for each in form["examples"])


def test_a_number_is_bounded_by_the_vocabulary() -> None:
    form = form_of(description_of("fill-mask", vocabulary=12))
    [top_k] = [each for each in form["parameters"] if each["name"] == "top_k"]
    assert top_k["schema"] == {"type": "integer", "minimum": 1, "maximum": 12}


def test_paths_name_the_pipeline_where_there_are_several() -> None:
    description = description_of("fill-mask")
    one, several = form_of(description), form_of(description, others=1)
    assert (one["path"], one["socket"]) == ("/below/", "/below/ws/")
    assert (several["path"], several["socket"]) == ("/below/pipelines/mine", "/below/pipelines/mine/ws/")


def test_scripts_that_are_imported_exist() -> None:
    assert "playground/workbench.js" in needed("playground/main.js")
    found = [imported for name in SCRIPTS if name.endswith(".js") for imported in imports(name, SCRIPTS[name])]
    assert len(found) > 20
    assert set(found) <= SCRIPTS.keys()
