"""``manage.py pipelines`` where there is nothing to see; tests/end_to_end/test_pipelines.py has the rest."""

import pytest
from django.core.management import CommandError, call_command

from inference.management.commands.pipelines import table
from tests import processes


def test_an_address_is_one_of_http():
    with pytest.raises(CommandError, match=r"^--url is 'localhost'; it must be like http://127.0.0.1:8000\.$"):
        call_command("pipelines", url="localhost")


def test_without_a_server_it_says_how_to_name_one():
    url = f"http://127.0.0.1:{processes.free_port()}"
    with pytest.raises(CommandError, match=f"^{url}/info does not answer .*; name a running server with --url\\.$"):
        call_command("pipelines", url=url)


def test_columns_are_as_wide_as_their_widest_cell():
    assert table([("A", "BB"), ("long", "c")]) == ["A     BB", "long  c"]
