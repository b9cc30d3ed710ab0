"""Padding of our server: its metrics have the ratio since it started, the client knows how many real tokens it sent."""

import time

import httpx

RATIO = "inference_padding_ratio"
STATUS_PERIOD_S = 1.2
"""A worker tells its figures once a second."""


class PaddingMeter:
    """Of one running server; ``None`` all along where there is no such figure."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"
        self._tokens = 0
        self._padded = 0.0

    def after(self, tokens: int) -> float | None:
        """The share of padding in what was computed since the last call, for answers to so many real tokens."""
        time.sleep(STATUS_PERIOD_S)
        ratio = self._ratio()
        if ratio is None or ratio >= 1 or not tokens:
            return None
        self._tokens += tokens
        before, self._padded = self._padded, self._tokens / (1 - ratio)
        return 1 - tokens / (self._padded - before)

    def _ratio(self) -> float | None:
        response = httpx.get(self._url, trust_env=False, timeout=10)
        lines = response.text.splitlines() if response.status_code == 200 else []
        return next((float(line.split()[1]) for line in lines if line.startswith(f"{RATIO} ")), None)
