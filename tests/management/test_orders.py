"""Orders of ``manage.py pipelines``; tests/end_to_end/test_orders.py has what becomes of them."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command

from inference.management.commands import pipelines
from inference.models import HostDrain, PipelineControl
from inference.serving.pipeline_state import PipelineState

pytestmark = pytest.mark.django_db


def ordered() -> list[tuple[str, str, bool]]:
    return [(row.pipeline, row.order, row.unload_first) for row in PipelineControl.objects.all()]


@pytest.mark.parametrize("order", ["load", "unload", "reload"])
def test_each_order_is_a_row(order: str, capsys: pytest.CaptureFixture[str]):
    call_command("pipelines", order, "default")
    assert ordered() == [("default", order, False)]
    assert capsys.readouterr().out == "Ordered; `manage.py pipelines` shows what has become of it.\n"


def test_a_reload_may_unload_first():
    call_command("pipelines", "reload", "default", "--unload-first")
    assert ordered() == [("default", "reload", True)]


def test_what_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(CommandError, match=r"^There is no pipeline 'x'; known are default\.$"):
        call_command("pipelines", "unload", "x")
    with pytest.raises(CommandError, match=r"^'x' is no id of a host; "):
        call_command("pipelines", "--url", "http://127.0.0.1:1", "drain", "x")

    def states(url: Any) -> list[PipelineState]:
        nothing = dict.fromkeys(PipelineState.__struct_fields__, "")
        return [PipelineState(**nothing | {"hosts": ("aaaaaaaaaaaa", "bbbbbbbbbbbb")})]  # type: ignore[arg-type]

    monkeypatch.setattr(pipelines, "_states", states)
    with pytest.raises(CommandError, match=r"^There is no host 'cccccccccccc' now; there are a{12}, b{12}\.$"):
        call_command("pipelines", "drain", "cccccccccccc")
    assert not HostDrain.objects.exists()
    call_command("pipelines", "drain", "bbbbbbbbbbbb")
    assert HostDrain.objects.get().host == "bbbbbbbbbbbb"
