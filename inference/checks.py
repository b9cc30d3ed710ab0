"""System checks of the settings, run by ``manage.py check`` and when a server starts."""

import difflib
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import wraps
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from channels.layers import InMemoryChannelLayer
from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import get_commands
from django.utils.module_loading import import_string

from inference import catalog, conf, tasks
from inference.backends.transformers import compat as transformers_compat
from inference.catalog import PipelineSpec
from inference.messaging.layer import configured
from inference.request_log import redaction
from inference.server import compat as server_compat

TAG = "inference"
"""Checks that servers and workers run as well when they start."""
PROJECT = "inference_project"
"""Checks that only ``manage.py check`` runs."""
BLOCKING_READ_S = 5
"""See https://github.com/django/channels_redis/issues/422."""


Check = Callable[..., Iterable[CheckMessage]]


def _check(tag: str, **options: Any) -> Callable[[Check], Check]:
    """Register a check, which finds nothing where the settings cannot be read: that is the only message then."""

    def decorate(check: Check) -> Check:
        @wraps(check)
        def found(**given: Any) -> Iterable[CheckMessage]:
            try:
                catalog.current()
            except ImproperlyConfigured:
                return []
            return list(check(**given))

        register(found, tag, **options)
        return check

    return decorate


@register(TAG)
def check_settings(**_: Any) -> Iterable[CheckMessage]:
    try:
        conf.current()
    except ImproperlyConfigured as error:
        yield Error(str(error), id="inference.E016")


@register(TAG)
def check_catalog(**_: Any) -> Iterable[CheckMessage]:
    try:
        settings_in_force = conf.current()
    except ImproperlyConfigured:
        return  # E016
    try:
        catalog.of(settings_in_force)
    except ImproperlyConfigured as error:
        yield Error(str(error), id="inference.E017")


def _said(spec: PipelineSpec, sentence: str) -> str:
    """A sentence about a pipeline's settings, with the table that has them."""
    return f"{spec.where}: {spec.in_its_words(sentence)}" if spec.where else sentence


def _unless_others() -> type[Error] | type[Warning]:
    """What keeps the only pipeline from being served is an error; of one of several it is none."""
    return Error if len(catalog.current()) == 1 else Warning


@_check(TAG)
def check_deadlines(**_: Any) -> Iterable[CheckMessage]:
    c = conf.current()
    if c.deadline_s > c.max_deadline_s:
        yield Error(
            f"INFERENCE_DEADLINE_S ({c.deadline_s:g}) is above INFERENCE_MAX_DEADLINE_S ({c.max_deadline_s:g}).",
            hint="Raise the maximum or lower the default.",
            id="inference.E001",
        )
    for spec in catalog.current():
        own = spec.conf
        if own.batch_window_ms >= c.deadline_s * 1000:
            window = f"INFERENCE_BATCH_WINDOW_MS ({own.batch_window_ms:g})"
            yield Error(
                _said(spec, f"{window} is not below the deadline ({c.deadline_s:g} s)."),
                hint="Use a few milliseconds, or 0 to start a batch at once.",
                id="inference.E002",
            )
        if c.max_inputs > own.max_pending:
            yield Error(
                f"INFERENCE_MAX_INPUTS ({c.max_inputs}) is above "
                + _said(spec, f"INFERENCE_MAX_PENDING ({own.max_pending}): ")
                + "the largest allowed request could never be admitted.",
                hint="Lower INFERENCE_MAX_INPUTS or raise INFERENCE_MAX_PENDING.",
                id="inference.E003",
            )


@_check(TAG)
def check_redactor(**_: Any) -> Iterable[CheckMessage]:
    try:
        redaction.configured(conf.current().log_redactor)
    except ImproperlyConfigured as error:
        yield Error(str(error), id="inference.E018")


@_check(TAG)
def check_channel_layer(**_: Any) -> Iterable[CheckMessage]:
    alias = conf.current().channel_layer
    layer = configured()
    if layer is None:
        yield Error(
            f"There is no channel layer {alias!r}.",
            hint=f"Define {alias!r} in CHANNEL_LAYERS; for one process as "
            f"inference.messaging.layer_settings.in_memory(expiry_s={conf.current().max_deadline_s + 10:.0f}).",
            id="inference.E004",
        )
        return
    if "PubSub" in type(layer).__name__:
        yield Error(
            "The pub/sub channel layer delivers every job to every worker and loses messages silently.",
            hint="Use channels_redis.core.RedisChannelLayer.",
            id="inference.E005",
        )
        return  # reading its expiry needs an event loop
    expiry = getattr(layer, "expiry", None)
    if expiry is not None and expiry < conf.current().max_deadline_s:
        yield Error(
            f"The channel layer drops messages after {expiry} s, before the longest deadline "
            f"({conf.current().max_deadline_s:g} s) has passed.",
            hint="In CHANNEL_LAYERS, raise the layer's expiry above INFERENCE_MAX_DEADLINE_S.",
            id="inference.E006",
        )


@_check(TAG)
def check_model(**_: Any) -> Iterable[CheckMessage]:
    for spec in catalog.current():
        task, model = spec.conf.task, spec.conf.model
        if task and tasks.find(task) is None:
            yield Error(f"INFERENCE_TASK is {task!r}; it must be one of {', '.join(tasks.TASKS)}.", id="inference.E008")
        if not model.startswith(("/", ".", "~")) or Path(model).is_dir() or _is_gguf(model):
            continue
        message = _said(spec, f"INFERENCE_MODEL is {model!r}, but there is no such folder.")
        hint = "Give the absolute path of a folder or a GGUF file (~ is not expanded), or a Hub id such as owner/name."
        if not isinstance(configured(), InMemoryChannelLayer):
            yield Warning(message, hint=f"{hint} Ignore this where only workers read the folder.", id="inference.W002")
        else:
            yield _unless_others()(message, hint=hint, id="inference.E009")


def _is_gguf(model: str) -> bool:
    return model.endswith(conf.GGUF) and Path(model).is_file()


@_check(TAG)
def check_backend(**_: Any) -> Iterable[CheckMessage]:
    """In embedded mode: other web processes need not have it installed."""
    if not isinstance(configured(), InMemoryChannelLayer):
        return
    for spec in catalog.current():
        if not _exists(spec.conf.backend):
            yield _unless_others()(
                _said(spec, f"INFERENCE_BACKEND is {spec.conf.backend!r}, and there is no such module."),
                hint="Name a module with a function load(conf, report) by its dotted path.",
                id="inference.E010",
            )


def _exists(module: str) -> bool:
    """Imports the packages around the module, not the module."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


@_check(TAG)
def check_names(**_: Any) -> Iterable[CheckMessage]:
    known = [f.name.upper() for f in fields(conf.Conf)]
    given = [name.removeprefix(conf.PREFIX) for name in sorted(os.environ) if name.startswith(conf.PREFIX)]
    for name in (name for name in given if name not in known):
        close = difflib.get_close_matches(name, known, 1)
        yield Warning(
            f"{conf.PREFIX}{name} is set, but there is no such setting.",
            hint=f"Did you mean {conf.PREFIX}{close[0]}?" if close else "",
            id="inference.W001",
        )


@_check(TAG)
def check_redis_layer(**_: Any) -> Iterable[CheckMessage]:
    """Channels' documented configuration, with a redis-py whose reads time out before those of channels_redis."""
    layer = getattr(settings, "CHANNEL_LAYERS", {}).get(conf.current().channel_layer, {})
    if not layer.get("BACKEND", "").startswith("channels_redis.core.") or not _reads_time_out():
        return
    hosts = layer.get("CONFIG", {}).get("hosts", [None])
    if any((host.get("socket_timeout") or 0) <= BLOCKING_READ_S if isinstance(host, dict) else True for host in hosts):
        yield Error(
            f"Idle processes would lose their channel layer: redis-py ends reads after {BLOCKING_READ_S} s, for which "
            "channels_redis waits as long.",
            hint="Give each host a socket_timeout of 15, as inference.messaging.redis_layer_settings.redis() does.",
            id="inference.E013",
        )


def _reads_time_out() -> bool:
    try:
        return int(version("redis").partition(".")[0]) >= 8
    except PackageNotFoundError:
        return False


@_check(TAG)
def check_app_order(**_: Any) -> Iterable[CheckMessage]:
    if get_commands().get("runworker") == "channels":
        yield Warning(
            "The runworker command is that of Channels; `runworker inference` would load no model.",
            hint="Put 'inference' before 'channels' in INSTALLED_APPS, or use `manage.py inference_worker`.",
            id="inference.W005",
        )


def check_application(**_: Any) -> Iterable[CheckMessage]:
    """Imports the project's ASGI application; other commands than ``check`` must not depend on that."""
    name = getattr(settings, "ASGI_APPLICATION", None)
    if not name:
        yield Warning(
            "ASGI_APPLICATION is not set, so nothing says which application is served.",
            hint="Set it to the application with wrap(): 'mysite.asgi.application', for example.",
            id="inference.W004",
        )
        return
    try:
        import_string(name)
    except Exception as error:
        yield Warning(f"ASGI_APPLICATION is {name!r}, and it cannot be imported: {error!r}.", id="inference.W006")
        return
    if "inference.application" not in sys.modules:
        yield Warning(
            "The project's ASGI application does not serve inference.",
            hint=f"In {name.rpartition('.')[0]}: `from inference.asgi import wrap`, and as the last line "
            '`application = wrap(application, prefix="/inference")`.',
            id="inference.W004",
        )


if sys.argv[1:2] == ["check"]:
    _check(PROJECT)(check_application)


@_check(TAG)
def check_server_libraries(**_: Any) -> Iterable[CheckMessage]:
    if apps.is_installed("daphne"):
        for sentence in server_compat.missing():
            yield Error(sentence, id="inference.E011")


@_check(TAG, deploy=True)
def check_access(**_: Any) -> Iterable[CheckMessage]:
    if conf.current().access == "open" and (public := [host for host in settings.ALLOWED_HOSTS if _is_public(host)]):
        yield Warning(
            f"Everybody who reaches {public[0]} may use the models: INFERENCE_ACCESS is open.",
            hint="Set INFERENCE_ACCESS=keys and make keys for callers; silence this where a proxy checks who asks.",
            id="inference.W007",
        )


def _is_public(host: str) -> bool:
    """A name of ``ALLOWED_HOSTS`` by which others than this machine and its network may reach the server."""
    name = host.strip("[].").lower()
    try:
        return ip_address(name).is_global
    except ValueError:
        return name == "*" or ("." in name and not name.endswith((".localhost", ".local", ".internal")))


@_check(TAG, deploy=True)
def check_model_libraries(**_: Any) -> Iterable[CheckMessage]:
    """Imports torch and transformers, so it runs with ``check --deploy`` only."""
    backends = [spec.conf.backend for spec in catalog.current()]
    if not any(backend.startswith("inference.backends.transformers.") for backend in backends):
        return
    for user in transformers_compat.NAMES:
        try:
            transformers_compat.check(user)
        except transformers_compat.Missing as error:
            if user == transformers_compat.PIPELINES:
                yield Error(str(error), hint="No worker can load a model.", id="inference.E012")
            else:
                yield Warning(str(error), hint=f"Workers run without {user}.", id="inference.W003")


def run() -> list[CheckMessage]:
    """Run only these checks, for servers that start without ``manage.py`` (Daphne)."""
    return list(run_checks(tags=[TAG]))
