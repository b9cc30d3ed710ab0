"""Whether a session is that of staff, which is looked up and changes nothing."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import Error, InterfaceError
from django.test import Client, override_settings

from inference.api import staff


@pytest.mark.django_db
def test_a_session_from_before_the_secret_key_changed_stays(client: Client, settings: Any):
    """Django would give it another key, of which the browser is told nothing: it would be logged out."""
    client.force_login(User.objects.create(username="staff", is_staff=True))
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    with override_settings(SECRET_KEY="another"):
        for _ in range(2):
            key = client.cookies["sessionid"].value
            assert staff._permissions_of([key], ()) == {key: frozenset()}
        assert client.get("/admin/").status_code == 200
    settings.SECRET_KEY_FALLBACKS = []
    with override_settings(SECRET_KEY="a third"):
        assert staff._permissions_of([key], ()) == {key: None}


@pytest.mark.parametrize("error", [InterfaceError, Error])
async def test_nobody_is_staff_while_the_database_is_away(error: type[Exception], monkeypatch: pytest.MonkeyPatch):
    def away(*_: object) -> None:
        raise error("connection already closed")

    monkeypatch.setattr(staff, "_permissions_of", away)
    assert not await staff.is_staff({"headers": [(b"cookie", b"sessionid=abc")]})
