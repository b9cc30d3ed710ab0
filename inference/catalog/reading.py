"""Reads the catalog from the settings, and from the TOML file that they may name.

Every function here raises ``ImproperlyConfigured`` for what cannot be right, with one sentence that says what would be.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from inference import tasks
from inference.catalog.spec import DEFAULT, Catalog, PipelineSpec
from inference.conf import GGUF, Conf, checked

NAME = re.compile(r"[a-z0-9._-]{1,64}")
SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,64}")
RESERVED = (
    *("v1", "v2", "ws", "health", "info", "metrics", "embed", "rerank"),
    *("pipelines", "playground", "assets", "admin", "docs", "openapi.json"),
)
"""Segments of the server's own paths, which no name or alias may have."""
OPTIONS = {f.name: f for f in fields(Conf) if f.metadata["per_pipeline"]}
OF_DEFAULT = ("model", "task", "revision")
"""Options that belong to the pipeline ``default``: a table does not have them from the settings of the deployment."""
KEYS = ("task", "model", "aliases", "weight", *(name for name in OPTIONS if name not in ("task", "model")))
"""What a table may have."""

_WEIGHT = next(f for f in fields(PipelineSpec) if f.name == "weight")
_OF_DEPLOYMENT = {f.name for f in fields(Conf)} - OPTIONS.keys()


@dataclass(frozen=True, slots=True)
class _Source:
    """Where tables come from."""

    name: str
    folder: Path | None = None
    """That of the TOML file."""

    def table(self, name: str) -> str:
        return f"{self.name}[{name!r}]" if self.folder is None else f"{self.name}, table [{name}]"


def read(conf: Conf) -> Catalog:
    """The pipelines that ``conf.pipelines`` names, or without it the one of ``conf.model``.

    Raises:
        ImproperlyConfigured: the file cannot be read, or what it says cannot be right.
    """
    if isinstance(conf.pipelines, Mapping):
        return _of_tables(conf.pipelines, _Source("INFERENCE['PIPELINES']"), conf)
    if conf.pipelines:
        path = Path(conf.pipelines)
        return _of_tables(_parsed(path), _Source(str(path), path.absolute().parent), conf)
    task = tasks.find(conf.task)  # An unknown one is an error of the setting, which the system checks report.
    return Catalog([PipelineSpec(DEFAULT, replace(conf, task=task.name) if task else conf)])


def _parsed(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        reason = error.strerror if isinstance(error, OSError) else error
        raise ImproperlyConfigured(
            f"INFERENCE_PIPELINES is {str(path)!r}, and {path.absolute()} cannot be read ({reason}); "
            "it must be the path of a TOML file with a table for each pipeline."
        ) from error
    try:
        return tomllib.loads(content.decode())
    except ValueError as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
        raise ImproperlyConfigured(
            f"{path} is no TOML ({reason}); it must have a table for each pipeline, such as [chat] with task and model."
        ) from error


def _of_tables(tables: Mapping[Any, Any], source: _Source, conf: Conf) -> Catalog:
    if not tables:
        raise ImproperlyConfigured(
            f"{source.name} has no table; it must have one for each pipeline, such as 'chat' with task and model."
        )
    pipelines = [_pipeline(name, table, source, conf) for name, table in tables.items()]
    _check_distinct(pipelines)
    return Catalog(pipelines)


def _pipeline(name: Any, table: Any, source: _Source, conf: Conf) -> PipelineSpec:
    if not isinstance(table, Mapping):
        raise ImproperlyConfigured(
            f"{source.name}: {name!r} is {table!r}; it must be the table of a pipeline, with task and model."
        )
    where = source.table(name)
    _check_name(name, where)
    _check_keys(name, table, where)
    given = {key: checked(table[key], option, f"{where}: {key}") for key, option in OPTIONS.items() if key in table}
    given |= {"task": _task(given.get("task", ""), where), "model": _model(given.get("model", ""), where, source)}
    of_deployment = dict.fromkeys(("pipelines", *OF_DEFAULT), "")
    return PipelineSpec(
        name,
        replace(conf, **(of_deployment | given)),
        tuple(_aliases(table.get("aliases", ()), where)),
        checked(table.get("weight", _WEIGHT.default), _WEIGHT, f"{where}: weight"),
        where,
    )


def _check_name(name: Any, where: str) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name) or name in {".", ".."}:
        raise ImproperlyConfigured(
            f"{where}: {name!r} cannot be the name of a pipeline; "
            "it must be 1 to 64 of a-z, 0-9, dot, underscore and hyphen, and not only one or two dots."
        )
    _check_not_reserved(name, name, where)


def _check_not_reserved(segment: str, name: str, where: str) -> None:
    if segment.lower() in RESERVED:
        raise ImproperlyConfigured(
            f"{where}: {name!r} has {segment!r}, which is reserved for paths of the server; "
            f"it must have none of {', '.join(RESERVED)}."
        )


def _check_keys(name: str, table: Mapping[Any, Any], where: str) -> None:
    for key in table:
        if key not in KEYS:
            raise ImproperlyConfigured(f"{where} has {key!r}, but {_why_not(name, str(key), table[key])}.")


def _why_not(name: str, key: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return f'a table has no tables; a name with a dot must be in quotes, such as ["{name}.{key}"]'
    if key.lower() in _OF_DEPLOYMENT:
        return f"that is a setting of all pipelines together; it must be set as INFERENCE_{key.upper()}"
    close = difflib.get_close_matches(key.lower(), KEYS, 1)
    hint = f"perhaps {close[0]!r} is meant" if close else f"known are {', '.join(KEYS)}"
    return f"there is no such setting of a pipeline; {hint}"


def _task(given: str, where: str) -> str:
    task = tasks.find(given)
    if task is not None:
        return task.name
    known = ", ".join(tasks.TASKS)
    if not given.strip():
        raise ImproperlyConfigured(f"{where} has no task; it must have one of {known}.")
    close = difflib.get_close_matches(given, [name for t in tasks.TASKS.values() for name in (t.name, *t.aliases)], 1)
    hint = f"; perhaps {close[0]!r} is meant" if close else ""
    raise ImproperlyConfigured(f"{where}: task is {given!r}; it must be one of {known}{hint}.")


def _model(given: str, where: str, source: _Source) -> str:
    if not given.strip():
        raise ImproperlyConfigured(
            f"{where} has no model; it must have one, as a Hub id such as owner/name, or as a folder."
        )
    if source.folder is None:
        return given
    beside = source.folder / given
    is_there = os.path.isfile if beside.suffix == GGUF else os.path.isdir  # those of Path raise where a name is long
    return str(beside) if is_there(beside) else given


def _aliases(given: Any, where: str) -> Iterator[str]:
    if not isinstance(given, list | tuple) or not all(isinstance(alias, str) for alias in given):
        raise ImproperlyConfigured(f"{where}: aliases is {given!r}; it must be a list of texts.")
    for alias in given:
        segments = alias.split("/")
        if len(segments) > 2 or not all(SEGMENT.fullmatch(s) and s not in {".", ".."} for s in segments):
            raise ImproperlyConfigured(
                f"{where}: {alias!r} cannot be an alias; it must be one name, or two with a slash between them, "
                "each of 1 to 64 letters, digits, dots, underscores and hyphens, and not only one or two dots."
            )
        for segment in segments:
            _check_not_reserved(segment, alias, where)
        yield alias


def _check_distinct(pipelines: list[PipelineSpec]) -> None:
    """TOML and dictionaries have no two tables of the same name."""
    taken = {pipeline.name: pipeline for pipeline in pipelines}
    for pipeline in pipelines:
        for alias in pipeline.aliases:
            if alias in taken:
                raise ImproperlyConfigured(
                    f"{pipeline.where}: the alias {alias!r} is a name or alias of {taken[alias].name!r} already; "
                    "names and aliases must differ."
                )
            taken[alias] = pipeline
