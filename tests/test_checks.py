import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer, channel_layers
from channels.management.commands.runworker import Command as ChannelsCommand
from channels.worker import Worker
from django.core.checks import ERROR, WARNING, CheckMessage, run_checks
from django.core.management import CommandError, call_command

from inference import checks, conf
from inference.messaging import layer_settings, redis_layer_settings
from inference.tasks import TASKS

LAYERS = {
    "in memory": layer_settings.in_memory,
    "Redis": lambda expiry_s: redis_layer_settings.redis("redis://127.0.0.1:1", "test", expiry_s),
}
"""Nothing listens on port 1; making a layer opens no connection."""

Set = Callable[..., None]


@pytest.fixture(autouse=True)
def _no_settings_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("INFERENCE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def configure(settings: Any) -> Set:
    """Change some settings from their defaults."""

    def configure(**changed: Any) -> None:
        settings.INFERENCE = replace(conf.Conf(), **changed)

    configure()
    return configure


def found() -> dict[str | None, CheckMessage]:
    return {message.id: message for message in run_checks(tags=[checks.TAG])}


def test_the_defaults_have_no_contradiction(configure: Set):
    assert not found()


@pytest.mark.parametrize("name", ["inference.backends.other", "no_such_package.backend", ".relative", "", "with space"])
def test_a_backend_that_does_not_exist_is_an_error(configure: Set, name: str):
    configure(backend=name)
    assert found()["inference.E010"].msg == f"INFERENCE_BACKEND is {name!r}, and there is no such module."


def test_a_deadline_above_the_longest_is_an_error(configure: Set):
    configure(deadline_s=31, max_deadline_s=30)
    assert found()["inference.E001"].msg == "INFERENCE_DEADLINE_S (31) is above INFERENCE_MAX_DEADLINE_S (30)."


def test_a_deadline_equal_to_the_longest_is_fine(configure: Set):
    configure(deadline_s=30, max_deadline_s=30)
    assert not found()


@pytest.mark.parametrize("window_ms", [30_000, 40_000])
def test_a_batch_window_that_reaches_the_deadline_is_an_error(configure: Set, window_ms: float):
    configure(batch_window_ms=window_ms, deadline_s=30)
    message = found()["inference.E002"].msg
    assert message == f"INFERENCE_BATCH_WINDOW_MS ({window_ms}) is not below the deadline (30 s)."


def test_a_batch_window_below_the_deadline_is_fine(configure: Set):
    configure(batch_window_ms=29_999, deadline_s=30)
    assert not found()


def test_requests_that_could_never_be_admitted_are_an_error(configure: Set):
    configure(max_inputs=9, max_pending=8)
    assert "INFERENCE_MAX_INPUTS (9) is above INFERENCE_MAX_PENDING (8)" in found()["inference.E003"].msg


@pytest.mark.parametrize(
    ("path", "words"), [("no.such.function", "which cannot be imported"), ("math.pi", "must be a function")]
)
def test_a_redactor_that_is_no_function_is_an_error(configure: Set, path: str, words: str):
    configure(log_redactor=path)
    assert words in found()["inference.E018"].msg


def test_no_channel_layer_is_an_error(configure: Set, settings: Any):
    settings.CHANNEL_LAYERS = {}
    messages = found()
    assert list(messages) == ["inference.E004"]
    assert "layer_settings.in_memory(expiry_s=130)" in str(messages["inference.E004"].hint)


def test_the_pub_sub_layer_is_an_error(configure: Set, settings: Any):
    layer = {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": ["redis://127.0.0.1:1"]}}
    settings.CHANNEL_LAYERS = {"default": layer}
    assert list(found()) == ["inference.E005"]


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_that_drops_messages_before_the_longest_deadline_is_an_error(configure: Set, settings: Any, layer: str):
    configure(max_deadline_s=120)
    settings.CHANNEL_LAYERS = {"default": LAYERS[layer](119)}
    message = found()["inference.E006"].msg
    assert message == "The channel layer drops messages after 119 s, before the longest deadline (120 s) has passed."


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_that_keeps_messages_for_the_longest_deadline_is_fine(configure: Set, settings: Any, layer: str):
    configure(max_deadline_s=120)
    settings.CHANNEL_LAYERS = {"default": LAYERS[layer](120)}
    assert not found()


def test_a_task_that_does_not_exist_is_an_error_that_lists_those_that_do(configure: Set):
    configure(task="fill-maks")
    message = found()["inference.E008"].msg
    assert message.startswith("INFERENCE_TASK is 'fill-maks'; it must be one of ")
    assert all(task in message for task in TASKS)


@pytest.mark.parametrize("task", [name for task in TASKS.values() for name in (task.name, *task.aliases)])
def test_a_task_and_its_other_name_are_fine(configure: Set, task: str):
    configure(task=task)
    assert not found()


@pytest.mark.parametrize("model", ["/no/such", "./no-such", "../no-such", "~/no-such", __file__])
def test_a_model_folder_that_does_not_exist_is_an_error_where_this_process_loads_it(configure: Set, model: str):
    configure(model=model)
    messages = found()
    assert list(messages) == ["inference.E009"]
    assert messages["inference.E009"].msg == f"INFERENCE_MODEL is {model!r}, but there is no such folder."


def test_a_model_folder_that_does_not_exist_is_a_warning_where_workers_load_it(configure: Set, settings: Any):
    configure(model="/only/on/the/worker")
    settings.CHANNEL_LAYERS = {"default": LAYERS["Redis"](120)}
    messages = found()
    assert list(messages) == ["inference.W002"]
    assert not messages["inference.W002"].is_serious()


@pytest.mark.parametrize("model", ["owner/name", "name", os.path.dirname(__file__)])
def test_a_model_that_may_exist_is_fine(configure: Set, model: str):
    configure(model=model)
    assert not found()


def test_an_unknown_name_is_a_warning_with_the_name_that_was_meant(configure: Set, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INFERENCE_MAX_BATCHSIZE", "8")
    warning = found()["inference.W001"]
    assert not warning.is_serious()
    assert warning.msg == "INFERENCE_MAX_BATCHSIZE is set, but there is no such setting."
    assert warning.hint == "Did you mean INFERENCE_MAX_BATCH_SIZE?"


def test_an_unknown_name_that_is_like_no_other_has_no_suggestion(configure: Set, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INFERENCE_QQ", "8")
    assert not found()["inference.W001"].hint


def test_every_unknown_name_is_named(configure: Set, monkeypatch: pytest.MonkeyPatch):
    for name in ("INFERENCE_B", "INFERENCE_A", "OTHER_A"):
        monkeypatch.setenv(name, "")
    named = [message.msg.split()[0] for message in run_checks(tags=[checks.TAG])]
    assert named == ["INFERENCE_A", "INFERENCE_B"]


def test_every_setting_is_a_known_name(configure: Set, monkeypatch: pytest.MonkeyPatch):
    for name in conf.Conf.__dataclass_fields__:
        monkeypatch.setenv(f"INFERENCE_{name.upper()}", "")
    assert not found()


def test_channels_own_runworker_in_front_of_ours_is_a_warning(configure: Set, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checks, "get_commands", lambda: {"runworker": "channels"})
    assert list(found()) == ["inference.W005"]


def of_project(settings: Any, application: str | None) -> list[CheckMessage]:
    settings.ASGI_APPLICATION = application
    return list(checks.check_application())


def test_an_application_that_serves_inference_is_fine(settings: Any):
    assert of_project(settings, "inferencesite.asgi.application") == []


def test_an_application_without_ours_is_a_warning(settings: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "inference.application", raising=False)
    (message,) = of_project(settings, "inferencesite.urls.urlpatterns")
    assert (message.id, message.is_serious()) == ("inference.W004", False)
    assert str(message.hint).startswith("In inferencesite.urls: `from inference.asgi import wrap`")


def test_no_application_is_a_warning(settings: Any):
    assert [message.id for message in of_project(settings, None)] == ["inference.W004"]


def test_an_application_that_cannot_be_imported_is_a_warning(settings: Any):
    (message,) = of_project(settings, "no_such.asgi.application")
    assert (message.id, message.is_serious()) == ("inference.W006", False)
    assert message.msg.startswith("ASGI_APPLICATION is 'no_such.asgi.application', and it cannot be imported: Module")


def test_a_wrong_setting_is_the_only_message(settings: Any):
    settings.INFERENCE = {"CHANEL_LAYER": "inference"}
    assert list(found()) == ["inference.E016"]
    assert found()["inference.E016"].msg.endswith("there is no such setting; perhaps 'CHANNEL_LAYER' is meant.")


def test_a_wrong_catalog_is_an_error(configure: Set):
    configure(pipelines={"chat": {"task": "text-generation"}})
    assert list(found()) == ["inference.E017"]
    assert found()["inference.E017"].msg == (
        "INFERENCE['PIPELINES']['chat'] has no model; it must have one, as a Hub id such as owner/name, or as a folder."
    )


def test_a_catalog_of_several_pipelines_is_fine(configure: Set):
    table = {"task": "fill-mask", "model": conf.BUNDLED_MODEL}
    configure(pipelines={"masks": table, "others": table})
    assert not found()


def test_what_is_wrong_with_one_of_several_pipelines_names_its_table_and_lets_the_others_be_served(configure: Set):
    table = {"task": "fill-mask", "model": conf.BUNDLED_MODEL}
    configure(
        max_inputs=100,
        pipelines={
            "right": table,
            "elsewhere": table | {"model": "/nowhere"},
            "unknown": table | {"backend": "no.such.module"},
            "small": table | {"max_pending": 10},
        },
    )
    assert {name: (message.level, message.msg) for name, message in found().items()} == {
        "inference.E009": (
            WARNING,
            "INFERENCE['PIPELINES']['elsewhere']: model is '/nowhere', but there is no such folder.",
        ),
        "inference.E010": (
            WARNING,
            "INFERENCE['PIPELINES']['unknown']: backend is 'no.such.module', and there is no such module.",
        ),
        "inference.E003": (
            ERROR,
            "INFERENCE_MAX_INPUTS (100) is above INFERENCE['PIPELINES']['small']: max_pending (10): the largest "
            "allowed request could never be admitted.",
        ),
    }


def test_the_layer_may_have_an_alias_of_its_own(configure: Set, settings: Any):
    settings.CHANNEL_LAYERS = {"ours": LAYERS["in memory"](130)}
    configure(channel_layer="ours")
    assert not found()
    configure(channel_layer="none")
    assert found()["inference.E004"].msg == "There is no channel layer 'none'."


def test_a_server_that_starts_without_manage_py_finds_the_same(configure: Set, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INFERENCE_UNKNOWN", "1")
    configure(deadline_s=31, max_deadline_s=30)
    assert {message.id: message.is_serious() for message in checks.run()} == {
        "inference.E001": True,
        "inference.W001": False,
    }


def test_a_server_that_starts_without_manage_py_finds_nothing_where_nothing_is_wrong(configure: Set):
    assert checks.run() == []


def test_a_server_that_starts_without_manage_py_runs_our_checks_and_no_others(configure: Set, settings: Any):
    settings.ROOT_URLCONF = "there.is.no.such.module"
    settings.MIDDLEWARE = []  # which fails a check of the admin
    assert run_checks(tags=["admin"])
    assert checks.run() == []


def test_every_contradiction_is_found_at_once(configure: Set):
    configure(deadline_s=31, max_deadline_s=30, batch_window_ms=40_000, max_inputs=9, max_pending=8)
    assert [message.id for message in checks.run()] == ["inference.E001", "inference.E002", "inference.E003"]


def test_a_worker_process_needs_a_layer_that_reaches_other_processes():
    channel_layers.set("default", InMemoryChannelLayer())
    with pytest.raises(CommandError, match=r"^A worker process needs a channel layer .*: set REDIS_URL, or ") as raised:
        call_command("runworker", "inference")
    assert "\n" not in str(raised.value)


def test_a_worker_of_the_model_has_no_other_channels():
    with pytest.raises(CommandError) as raised:
        call_command("runworker", "inference", "thumbnails", "mails")
    assert str(raised.value) == (
        "A worker of 'inference' has no other channels; run `runworker inference` and `runworker mails thumbnails`, "
        "each in a process of its own."
    )


def test_workers_of_other_channels_are_those_of_channels(monkeypatch: pytest.MonkeyPatch):
    ran: list[list[str]] = []

    class Recorded(Worker):
        def run(self) -> None:
            ran.append(self.channels)

    monkeypatch.setattr(ChannelsCommand, "worker_class", Recorded)
    call_command("runworker", "thumbnails", "mails")
    assert ran == [["thumbnails", "mails"]]


@pytest.mark.parametrize(
    ("hosts", "wrong"),
    [
        ([("localhost", 6379)], True),
        (["redis://localhost"], True),
        ([{"address": "redis://localhost"}], True),
        ([{"address": "redis://localhost", "socket_timeout": 5}], True),
        ([{"address": "redis://localhost", "socket_timeout": 15}], False),
    ],
    ids=str,
)
def test_hosts_whose_reads_end_too_early_are_found(settings: Any, hosts: Any, wrong: bool):
    config = {"hosts": hosts, "expiry": 200}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": config}}
    assert ("inference.E013" in found()) == wrong


@pytest.mark.parametrize(
    ("hosts", "public"),
    [
        (["localhost", "127.0.0.1", "[::1]", ".localhost"], ""),
        (["10.1.2.3", "192.168.0.1", "fd00::1", "printer.local", "gpu.internal", "web"], ""),
        (["localhost", "model.example.org"], "model.example.org"),
        ([".example.org"], ".example.org"),
        (["*"], "*"),
        (["8.8.8.8"], "8.8.8.8"),
        (["[2001:4860:4860::8888]"], "[2001:4860:4860::8888]"),
    ],
)
def test_open_access_under_a_public_host_name_is_warned_of(
    configure: Set, settings: Any, hosts: list[str], public: str
):
    settings.ALLOWED_HOSTS = hosts
    sentence = f"Everybody who reaches {public} may use the models: INFERENCE_ACCESS is open."
    assert [message.msg for message in checks.check_access()] == ([sentence] if public else [])
    configure(access="keys")
    assert not [*checks.check_access()]
