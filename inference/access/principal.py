"""Who asks."""

from dataclasses import dataclass

from inference.models.api_key import USUAL_PRIORITY


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``None``: no limit."""

    requests_per_minute: int | None = None
    units_per_day: int | None = None
    """Tokens, images or seconds of recordings, as the pipeline counts; days are UTC's."""
    inputs_in_flight: int | None = None
    max_deadline_s: float | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """What a key allows; ``ANYONE`` where no keys are asked for, and for code of this process."""

    owner: str = ""
    key: str = ""
    """Its public prefix; empty without a key."""
    name: str = ""
    manages: bool = False
    pipelines: frozenset[str] = frozenset()
    """Names; empty: all."""
    routes: frozenset[str] = frozenset()
    """Names of dialects; empty: all."""
    limits: Limits = NO_LIMITS
    priority: int = USUAL_PRIORITY

    def may_use(self, pipeline: str) -> bool:
        return not self.pipelines or pipeline in self.pipelines

    def may_speak(self, dialect: str) -> bool:
        return not self.routes or dialect in self.routes


ANYONE = Principal()
NOBODY = Principal(pipelines=frozenset({""}))
"""Whoever asks without a key where one is wanted: for probes, which need none and are told little."""
