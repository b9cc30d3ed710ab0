"""The tests of the host project, run as its team runs them."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing

from tests.host.site import Site


def test_they_pass_without_a_model_and_leave_no_rows(make_site: Callable[[str], Site]) -> None:
    site = make_site("site")
    site.edit()
    output = site.manage("test")
    assert re.search(r"^Ran 10 tests in [\d.]+s\n\nOK$", output, re.MULTILINE), output
    assert "Traceback" not in output
    with closing(sqlite3.connect(site.database)) as database:
        assert database.execute("SELECT COUNT(*) FROM inference_inferencerequest").fetchone() == (0,)
