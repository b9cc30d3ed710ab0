"""Padding of our server: its metrics count what was computed, the client knows how many real tokens it sent."""

import time

import httpx

COMPUTED = "inference_computed_tokens_total"
STATUS_PERIOD_S = 1.2
"""A worker tells its figures once a second."""


class PaddingMeter:
    """Of one running server; ``None`` all along where there is no such figure."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"
        self._computed = 0.0

    def after(self, tokens: int) -> float | None:
        """The share of padding in what was computed since the last call, for answers to so many real tokens."""
        time.sleep(STATUS_PERIOD_S)
        computed = self._read()
        if computed is None or not tokens:
            return None
        before, self._computed = self._computed, computed
        return 1 - tokens / (computed - before) if computed > before else None

    def _read(self) -> float | None:
        response = httpx.get(self._url, trust_env=False, timeout=10)
        lines = response.text.splitlines() if response.status_code == 200 else []
        return next((float(line.split()[1]) for line in lines if line.startswith(f"{COMPUTED}{{")), None)
