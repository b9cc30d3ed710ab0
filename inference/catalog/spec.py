"""A pipeline with its name and settings, and the catalog of all of them."""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured

from inference.conf import Conf, Range, option
from inference.tasks import find

DEFAULT = "default"
SETTING = re.compile("INFERENCE_([A-Z_]+)")


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    name: str
    conf: Conf
    """The settings of the deployment with those of the pipeline's table. ``task`` is the canonical name of a task."""
    aliases: tuple[str, ...] = ()
    weight: float = option(1.0, "share of a host's model time, relative to other pipelines", Range(0.01, 100))
    where: str = ""
    """Where it is described, for error messages; empty for the one that has no table."""

    def most_body_bytes(self, task: str = "") -> int:
        """Size of a body or frame: for a task that takes media, base64 of the largest with something beside it.

        Args:
            task: what is served, where the settings leave that to the model.
        """
        found = find(self.conf.task or task)
        media = self.conf.max_media_bytes * 3 // 2 if found and found.input.media else 0
        return max(self.conf.max_body_bytes, media)

    @property
    def called(self) -> tuple[str, ...]:
        """The name and the aliases."""
        return (self.name, *self.aliases)

    def in_its_words(self, sentence: str) -> str:
        """With settings as its table calls them, if it has one: ``model`` for ``INFERENCE_MODEL``."""
        return SETTING.sub(lambda found: found[1].lower(), sentence) if self.where else sentence


class Catalog:
    """The pipelines of a deployment, in the order of the file."""

    def __init__(self, pipelines: Iterable[PipelineSpec]) -> None:
        """Names and aliases must differ.

        Raises:
            ValueError: there is no pipeline.
        """
        self._pipelines = tuple(pipelines)
        if not self._pipelines:
            raise ValueError("A catalog must have at least one pipeline.")
        self._by_name = {name: pipeline for pipeline in self._pipelines for name in pipeline.called}

    def __iter__(self) -> Iterator[PipelineSpec]:
        return iter(self._pipelines)

    def __len__(self) -> int:
        return len(self._pipelines)

    def __repr__(self) -> str:
        return f"<Catalog: {', '.join(self.names)}>"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(pipeline.name for pipeline in self._pipelines)

    @property
    def default(self) -> PipelineSpec:
        """The pipeline that is called ``default``, or else the first one."""
        return self._by_name.get(DEFAULT, self._pipelines[0])

    def find(self, name_or_alias: str) -> PipelineSpec | None:
        return self._by_name.get(name_or_alias)

    def route(self, path: str) -> tuple[PipelineSpec, str] | None:
        """The pipeline whose name or alias is at the start of a path below ``/pipelines/``, and the rest of the path.

        The longest wins: two segments before one. ``acme/topics/v1/x`` is ``/v1/x`` of ``acme/topics``, and the rest of
        ``chat`` is ``/``, like that of ``chat/``.
        """
        first, slash, below = path.partition("/")
        if slash:
            second, _, rest = below.partition("/")
            pipeline = self._by_name.get(f"{first}/{second}")
            if pipeline is not None:
                return pipeline, f"/{rest}"
        pipeline = self._by_name.get(first)
        return None if pipeline is None else (pipeline, f"/{below}")

    def only(self, names: Collection[str]) -> "Catalog | None":
        """The catalog of those pipelines that have one of these names, in the order of this one; ``None`` of none."""
        found = [pipeline for pipeline in self._pipelines if pipeline.name in names]
        return Catalog(found) if found else None

    def select(self, names: Iterable[str]) -> "Catalog":
        """The catalog of some pipelines only, in the order of this one.

        Args:
            names: names or aliases, at least one.

        Raises:
            ImproperlyConfigured: there is no pipeline with this name; one sentence says which there are.
            ValueError: no name is given.
        """
        wanted = {self._known(name).name for name in names}
        return Catalog(pipeline for pipeline in self._pipelines if pipeline.name in wanted)

    def _known(self, name: str) -> PipelineSpec:
        pipeline = self._by_name.get(name)
        if pipeline is None:
            close = difflib.get_close_matches(name, self._by_name, 1)
            hint = f", perhaps {close[0]!r} is meant" if close else ""
            raise ImproperlyConfigured(f"There is no pipeline {name!r}{hint}; known are {', '.join(self._by_name)}.")
        return pipeline
