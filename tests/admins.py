"""Somebody who may do everything in the admin of a running server."""

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.utils import timezone

from tests.conftest import client
from tests.processes import Web

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAME, PASSWORD = "root", "only for tests"
LOG = "/admin/inference/inferencerequest/"
KEYS = "/admin/inference/apikey/"
USAGE = "/admin/inference/usage/"
DASHBOARD = "/admin/inference/rollup/"
LIVE = "/admin/inference/live/"


def add(server: Web) -> None:
    """Once for each server."""
    user = {
        "username": NAME,
        "password": PBKDF2PasswordHasher().encode(PASSWORD, "salt", iterations=1),  # the login stores a better one
        "date_joined": timezone.now().isoformat(sep=" "),
        **dict.fromkeys(("is_superuser", "is_staff", "is_active"), True),
        **dict.fromkeys(("first_name", "last_name", "email"), ""),
    }
    query = f"INSERT INTO auth_user ({', '.join(user)}) VALUES ({', '.join('?' * len(user))})"  # noqa: S608
    with closing(sqlite3.connect(server.database)) as connection, connection:
        connection.execute(query, list(user.values()))


def log_in(page: "Page", server: Web, path: str = "/admin/") -> None:
    """By the form, which leads to the path."""
    page.goto(server.url + path)
    page.get_by_label("Username").fill(NAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(server.url + path)


def session(server: Web) -> Any:
    """That of an admin who is added here, for ``new_page(storage_state=…)``: the same for all pages of a module."""
    add(server)
    with client(server) as http:
        http.get("/admin/login/")
        token = {"csrfmiddlewaretoken": http.cookies["csrftoken"]}
        reply = http.post("/admin/login/", data={"username": NAME, "password": PASSWORD, **token})
        assert reply.status_code == 302, reply.text
        cookies = [
            {"name": name, "value": value, "domain": "127.0.0.1", "path": "/", "sameSite": "Lax"}
            for name, value in http.cookies.items()
        ]
    return {"cookies": cookies, "origins": []}
