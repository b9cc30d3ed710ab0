"""Every ``INFERENCE_*`` setting: name, type, default, bounds, meaning. The unit is in the name.

``Conf`` is one frozen value that is handed to whoever needs it; only ``current()`` reads Django's settings.
"""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvError

BUNDLED_MODEL = str(Path(__file__).resolve().parent / "bundled_model")
PREFIX = "INFERENCE_"


def option(  # noqa: PLR0913 - one row of a table
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    shown_default: str = "",
) -> Any:
    """A field of ``Conf``; ``low`` and ``high`` are inclusive, ``shown_default`` is what documentation prints."""
    metadata = {"help": help, "low": low, "high": high, "choices": choices, "shown": shown_default or str(default)}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True, slots=True)
class Conf:
    model: str = option(BUNDLED_MODEL, "Hub id or folder of the model", shown_default="the bundled model")
    task: str = option("", "pipeline task, such as `fill-mask`", shown_default="from the model")
    revision: str = option("", "commit, tag or branch on the Hub; pin a commit in production", shown_default="newest")
    device: str = option("auto", "`auto`, `cpu`, `cuda`, `cuda:1`, `mps`")
    dtype: str = option(
        "auto",
        "`auto` is float32 on a CPU, the checkpoint's own elsewhere",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    threads: int = option(0, "CPU threads of the model; 0 takes every core", low=0, high=1024)
    max_batch_size: int = option(32, "inputs in one batch", low=1, high=4096)
    max_batch_tokens: int = option(
        16384,
        "tokens in one batch with their padding, or in the cache of texts that are generated (memory)",
        low=1,
        high=10_000_000,
    )
    batch_window_ms: float = option(0.0, "how long the first input of a batch waits for company", low=0, high=60_000)
    max_pending: int = option(512, "inputs admitted and unanswered, per web process", low=1, high=100_000)
    max_inputs: int = option(128, "inputs in one request", low=1, high=10_000)
    deadline_s: float = option(30.0, "a request's deadline unless it brings its own", low=0.001, high=3600)
    max_deadline_s: float = option(120.0, "longest deadline that a request may ask for", low=0.001, high=3600)
    drain_s: float = option(
        0.0, "how long a stop waits for accepted requests", low=0, high=7200, shown_default="deadline + 5"
    )
    max_body_bytes: int = option(2**20, "HTTP body or WebSocket frame", low=1, high=2**31)
    max_reply_bytes: int = option(2**26, "one answer", low=1024, high=2**31)
    stall_s: float = option(10.0, "how long a client may neither send nor take what is under way", low=0.1, high=3600)
    log_inputs: str = option(
        "preview", "how much of the inputs the request log keeps", choices=("none", "preview", "full")
    )
    log_days: int = option(30, "`prune_requests` deletes older rows", low=1, high=36_500)
    log_max_rows: int = option(1_000_000, "`prune_requests` keeps at most these", low=1, high=10**9)
    layer_prefix: str = option("inference", "prefix of every Redis key; one per model that shares a Redis")

    def __post_init__(self) -> None:
        if not self.drain_s:
            object.__setattr__(self, "drain_s", self.deadline_s + 5)


def variable(option_field: "Field[Any]") -> str:
    """The environment variable of a field of ``Conf``."""
    return PREFIX + option_field.name.upper()


def expectation(option_field: "Field[Any]") -> str:
    """What a value must be, in words: ``a whole number from 1 to 4096``."""
    rules = option_field.metadata
    if rules["choices"]:
        return "one of " + ", ".join(rules["choices"])
    if option_field.type is str:
        return "a text"
    kind = "a whole number" if option_field.type is int else "a number"
    return f"{kind} from {rules['low']} to {rules['high']}"


def from_env(env: Env) -> Conf:
    """Read and check the environment.

    Raises:
        ImproperlyConfigured: one sentence that names the variable, its value and what would be right.
    """
    return Conf(**{f.name: _read(env, f) for f in fields(Conf)})


def _read(env: Env, option_field: "Field[Any]") -> Any:
    name = variable(option_field)
    raw = env.str(name, "").strip()
    if not raw:
        return option_field.default
    try:
        value = raw if option_field.type is str else getattr(env, cast("type", option_field.type).__name__)(name)
    except EnvError:
        value = None
    if value is None or not _allowed(value, option_field.metadata):
        raise ImproperlyConfigured(f"{name} is {raw!r}; it must be {expectation(option_field)}.")
    return value


def _allowed(value: Any, rules: Mapping[str, Any]) -> bool:
    if rules["choices"]:
        return value in rules["choices"]
    return rules["low"] is None or bool(rules["low"] <= value <= rules["high"])


def current() -> Conf:
    """The settings in force (``settings.INFERENCE``)."""
    return settings.INFERENCE
