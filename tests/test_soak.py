"""A short chaos run; ``make soak`` is the long one."""

import pytest

from tests.soak.__main__ import main


@pytest.mark.timeout(240)
def test_every_promise_is_kept() -> None:
    assert main(["--seconds", "15", "--only", "kills,bad,cuts,rolling", "--rate", "20"]) == 0
