"""Every ``INFERENCE_*`` setting: name, type, default, allowed values, meaning. The unit is in the name.

``Conf`` is an immutable value that is passed to the code that needs it; only ``current()`` reads Django's settings.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver
from environs import Env, EnvError

GGUF = ".gguf"
"""The suffix of a model in one file."""
BUNDLED_MODEL = str(Path(__file__).resolve().parent / "bundled_model")
PREFIX = "INFERENCE_"
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_USUAL_PORT = re.compile(r"(?<=^http):(//.*):80$|(?<=^https):(//.*):443$")


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers from ``low`` to ``high``, both included."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class PathOrTables:
    """The path of a TOML file, or what such a file contains."""

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, str | Mapping)


@dataclass(frozen=True, slots=True)
class Origins:
    """Origins of web pages, or ``*`` alone."""

    def __contains__(self, value: tuple[str, ...]) -> bool:
        return value == ("*",) or all(_ORIGIN.fullmatch(origin) for origin in value)

    @staticmethod
    def read(value: Any) -> tuple[str, ...] | None:
        """As browsers send them: lower-case, without the usual port. ``None`` for no text and no list of texts."""
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
            return None
        return tuple(_USUAL_PORT.sub(r":\1\2", part.strip().lower()) for part in parts if part.strip())


Allowed = Range | tuple[str, ...] | PathOrTables | Origins | None


def option(
    default: Any,
    help: str,
    allowed: Allowed = None,
    *,
    shown_default: str = "",
    per_pipeline: bool = False,
) -> Any:
    """A field of ``Conf``.

    Args:
        allowed: ``None`` allows any text.
        shown_default: what the documentation prints.
        per_pipeline: a table of ``pipelines`` may set it.
    """
    shown = shown_default or str(default)
    metadata = {"help": help, "allowed": allowed, "shown": shown, "per_pipeline": per_pipeline}
    # A dictionary of tables has no hash, but a ``Conf`` has one.
    return field(default=default, hash=False if isinstance(allowed, PathOrTables) else None, metadata=metadata)


@dataclass(frozen=True, kw_only=True, slots=True)
class Conf:
    model: str = option(
        BUNDLED_MODEL, "Hub id, folder or GGUF file of the model", shown_default="the bundled model", per_pipeline=True
    )
    task: str = option("", "pipeline task, such as `fill-mask`", shown_default="from the model", per_pipeline=True)
    revision: str = option(
        "", "commit, tag or branch on the Hub; pin a commit in production", shown_default="newest", per_pipeline=True
    )
    pipelines: str | Mapping[str, Any] = option(
        "",
        "TOML file that names several pipelines, see docs/pipelines.md",
        PathOrTables(),
        shown_default="none",
    )
    device: str = option("auto", "`auto`, `cpu`, `cuda`, `cuda:1`, `mps`", per_pipeline=True)
    dtype: str = option(
        "auto",
        "`auto` is float32 on a CPU and the checkpoint's own elsewhere; `int8` is for CPUs, see docs/performance.md",
        ("auto", "float32", "bfloat16", "float16", "int8"),
        per_pipeline=True,
    )
    threads: int = option(
        0, "CPU threads of the model; 0 uses every core, or as many as a container may", Range(0, 1024)
    )
    max_batch_size: int = option(32, "inputs in one batch", Range(1, 4096), per_pipeline=True)
    max_batch_tokens: int = option(
        16384,
        "tokens in one batch, padding included, or in the cache of generated texts; bounds memory",
        Range(1, 10_000_000),
        per_pipeline=True,
    )
    prefix_cache_mb: int = option(
        256,
        "MB of what prompts begin with that are kept for later ones; 0 keeps nothing",
        Range(0, 1_000_000),
        per_pipeline=True,
    )
    speculation: str = option(
        "on",
        "few generated texts: tokens that earlier ones suggest are checked several at once; texts stay the same",
        ("on", "off"),
        per_pipeline=True,
    )
    draft_model: str = option(
        "",
        "a small model with the same vocabulary that guesses next tokens for one or two generated texts",
        shown_default="none",
        per_pipeline=True,
    )
    draft_revision: str = option(
        "", "as `INFERENCE_REVISION`, of the draft model", shown_default="newest", per_pipeline=True
    )
    shared_prefixes: str = option(
        "off", "`on`: clients with different keys share what is kept of prompts", ("off", "on"), per_pipeline=True
    )
    batch_window_ms: float = option(
        0.0, "how long the first input of a batch waits for others", Range(0, 60_000), per_pipeline=True
    )
    max_pending: int = option(
        512, "inputs admitted and not yet answered, per web process", Range(1, 100_000), per_pipeline=True
    )
    max_pending_bytes: int = option(
        2**28,
        "size of all inputs admitted and not yet answered, per web process, of all pipelines",
        Range(2**20, 2**40),
    )
    max_inputs: int = option(128, "inputs in one request", Range(1, 10_000))
    deadline_s: float = option(30.0, "deadline of a request that does not set its own", Range(0.001, 3600))
    max_deadline_s: float = option(120.0, "longest deadline that a request may set", Range(0.001, 3600))
    drain_s: float = option(
        0.0, "how long a stop waits for accepted requests", Range(0, 7200), shown_default="deadline + 5"
    )
    drain_port: str = option(
        "open",
        "while Daphne stops, new connections get 503 `draining`, or are refused (`closed`), so that a proxy asks "
        "another web process",
        ("open", "closed"),
    )
    max_body_bytes: int = option(2**20, "size of an HTTP body or WebSocket message", Range(1, 2**31))
    max_media_bytes: int = option(
        2**23,
        "size of one image or recording; bodies for pipelines that take such may have half as much again",
        Range(1, 2**31),
    )
    max_audio_s: float = option(1800.0, "length of one recording", Range(0.1, 36_000), per_pipeline=True)
    max_reply_bytes: int = option(2**26, "size of one answer", Range(1024, 2**31))
    stall_s: float = option(10.0, "how long a client may stall an upload or an answer", Range(0.1, 3600))
    cors_origins: tuple[str, ...] = option(
        (), "web pages of other hosts that may use the server, over HTTP and WebSocket", Origins(), shown_default="none"
    )
    access: str = option("open", "who may ask: anybody, or callers with a key", ("open", "keys"))
    metrics_access: str = option(
        "",
        "who may read `/metrics`: anybody, clients on the same machine, or callers whose key has the scope `manage`",
        ("open", "loopback", "key"),
        shown_default="key with `INFERENCE_ACCESS=keys`, else open",
    )
    log_inputs: str = option("preview", "how much of the inputs the request log keeps", ("none", "preview", "full"))
    log_redactor: str = option(
        "", "dotted path of a function that redacts a text before the request log keeps it", shown_default="none"
    )
    audit: str = option(
        "off", "whether rows of the request log are chained, so that changes are found", ("off", "chain")
    )
    log_days: int = option(30, "age in days above which `prune_requests` deletes rows", Range(1, 36_500))
    log_max_rows: int = option(1_000_000, "number of newest rows that `prune_requests` keeps", Range(1, 10**9))
    channel_layer: str = option("default", "alias in `CHANNEL_LAYERS` of the layer between web processes and workers")
    layer_prefix: str = option(
        "inference", "prefix of every Redis key; deployments that share a Redis need different ones"
    )
    backend: str = option(
        "inference.backends.transformers.backend",
        "dotted path of the module whose `load` makes the pipeline",
        per_pipeline=True,
    )

    def __post_init__(self) -> None:
        if not self.drain_s:
            object.__setattr__(self, "drain_s", self.deadline_s + 5)
        if not self.metrics_access:
            object.__setattr__(self, "metrics_access", "key" if self.access == "keys" else "open")


def variable(option_field: "Field[Any]") -> str:
    """The environment variable of a field of ``Conf``."""
    return PREFIX + option_field.name.upper()


def expectation(option_field: "Field[Any]") -> str:
    """What a value must be, in words: ``a whole number from 1 to 4096``."""
    allowed: Allowed = option_field.metadata["allowed"]
    if isinstance(allowed, PathOrTables):
        return "the path of a TOML file, or a dictionary of tables"
    if isinstance(allowed, Origins):
        return "a list of origins such as https://app.example.com or http://localhost:3000, or * alone"
    if allowed is None:
        return "a text"
    if isinstance(allowed, tuple):
        return "one of " + ", ".join(allowed)
    kind = "a whole number" if option_field.type is int else "a number"
    return f"{kind} from {allowed.low} to {allowed.high}"


def from_env(env: Env, given: Mapping[str, Any] | None = None) -> Conf:
    """Read and check ``given``, by upper-case names such as ``MODEL``, and the environment for what it does not have.

    Raises:
        ImproperlyConfigured: a value is not allowed, or a name is unknown; one sentence says what would be right.
    """
    given = given or {}
    known = {f.name.upper(): f for f in fields(Conf)}
    for name in given.keys() - known.keys():
        close = difflib.get_close_matches(str(name), known, 1)
        hint = f"perhaps {close[0]!r} is meant." if close else f"known are {', '.join(known)}."
        raise ImproperlyConfigured(f"INFERENCE has {name!r}, but there is no such setting; {hint}")
    return Conf(
        **{
            f.name: checked(given[name], f, variable(f)) if name in given else _read(env, f)
            for name, f in known.items()
        }
    )


def checked(value: Any, option_field: "Field[Any]", name: str) -> Any:
    """A value that Python code or a TOML file gives: of the right type, a whole number for a number, a path for a text.

    Args:
        option_field: a field that was made with ``option``.
        name: what an error calls it.

    Raises:
        ImproperlyConfigured: the value is not allowed; one sentence says what would be right.
    """
    if option_field.type is float and type(value) is int and value in option_field.metadata["allowed"]:
        value = float(value)  # which fails for very large ones
    if isinstance(value, Path):
        value = str(value)
    if isinstance(option_field.metadata["allowed"], Origins):
        return _allowed(Origins.read(value), value, option_field, name)
    fits = type(value) is option_field.type or isinstance(option_field.metadata["allowed"], PathOrTables)
    return _allowed(value if fits else None, value, option_field, name)


def _read(env: Env, option_field: "Field[Any]") -> Any:
    name = variable(option_field)
    raw = env.str(name, "").strip()
    if not raw:
        return option_field.default
    if isinstance(option_field.metadata["allowed"], Origins):
        return _allowed(Origins.read(raw), raw, option_field, name)
    try:
        is_number = option_field.type in (int, float)
        value = getattr(env, cast("type", option_field.type).__name__)(name) if is_number else raw
    except EnvError:
        value = None
    return _allowed(value, raw, option_field, name)


def _allowed(value: Any, shown: Any, option_field: "Field[Any]", name: str) -> Any:
    allowed = option_field.metadata["allowed"]
    if value is None or (allowed is not None and value not in allowed):
        raise ImproperlyConfigured(f"{name} is {shown!r}; it must be {expectation(option_field)}.")
    return value


def current() -> Conf:
    """The settings in force: ``settings.INFERENCE``, which is a ``Conf``, or a dictionary beside the environment."""
    given = getattr(settings, "INFERENCE", None)
    return given if isinstance(given, Conf) else _of_project()


@cache
def _of_project() -> Conf:
    return from_env(Env(), getattr(settings, "INFERENCE", None))


@receiver(setting_changed)
def _forget(setting: str, **_: Any) -> None:
    """So that ``override_settings`` works."""
    if setting == "INFERENCE":
        _of_project.cache_clear()
