"""Who may ask, and what every answer says to browsers."""

import subprocess
import sys
from datetime import timedelta
from typing import Any

import httpx
import pytest
from axes.models import AccessAttempt
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from inference.api.hosts import own_address
from tests import processes
from tests.conftest import client as open_client
from tests.processes import ROOT, Web

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

TEXT = "test [MASK]"


# Headers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("GET", "/"),
        ("PUT", "/"),
        ("GET", "/health/live"),
        ("GET", "/metrics"),
        ("GET", "/nowhere"),
        ("GET", "/admin/login/"),
        ("GET", "/static/admin/css/base.css"),
    ],
)
def test_every_answer_tells_browsers_to_be_careful(http: httpx.Client, method: str, path: str) -> None:
    reply = http.request(method, path, content=TEXT if method == "POST" else None)

    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["x-frame-options"] == "DENY"
    assert reply.headers["referrer-policy"] == "same-origin"
    assert reply.headers["cross-origin-opener-policy"] == "same-origin"
    policy = reply.headers.get_list("content-security-policy")
    assert len(policy) == 1
    assert "frame-ancestors 'none'" in policy[0]
    assert "strict-transport-security" not in reply.headers, "no HTTPS here"


# Host and Origin


@pytest.mark.parametrize("path", ["/", "/health/live", "/health/ready", "/metrics", "/admin/login/"])
def test_a_host_that_is_not_served_is_refused_everywhere(http: httpx.Client, path: str) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "10.0.0.1"):
        assert http.get(path, headers={"host": host}).status_code == 400


def test_probes_may_ask_by_address() -> None:
    with processes.web(env=processes.FAKE | {"DJANGO_ALLOWED_HOSTS": "model.example"}) as server:
        for path in ("/health/live", "/metrics"):
            assert httpx.get(server.url + path, trust_env=False).status_code == 200
            assert httpx.get(server.url + path, headers={"host": "evil.example"}, trust_env=False).status_code == 400
        assert httpx.get(server.url, trust_env=False).status_code == 400
        assert httpx.get(server.url, headers={"host": "model.example"}, trust_env=False).status_code == 200


@pytest.mark.parametrize(
    ("host", "server", "own"),
    [
        ("10.1.2.3:8000", ["10.1.2.3", 8000], True),
        ("10.1.2.3", ["10.1.2.3", 8000], True),
        ("[::1]:8000", ["::1", 8000], True),
        ("10.1.2.4", ["10.1.2.3", 8000], False),
        ("evil.example", ["10.1.2.3", 8000], False),
        ("", ["10.1.2.3", 8000], False),
        ("", None, False),
        ("None", None, False),
    ],
)
def test_what_our_own_address_is(host: str, server: list[object] | None, *, own: bool) -> None:
    assert own_address({"headers": [(b"host", host.encode())], "server": server}) is own


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [("http://localhost:8000", True), ("https://evil.example", False), ("null", False), ("http://[", False)],
)
def test_pages_of_others_may_not_ask(server: Web, http: httpx.Client, origin: str, *, allowed: bool) -> None:
    reply = http.post("/", content=TEXT, headers={"origin": origin})

    assert reply.status_code == (200 if allowed else 403)
    if not allowed:
        assert reply.json()["error_type"] == "forbidden"
        assert server.row(reply.headers["x-request-id"])["code"] == "forbidden"


# Production settings

PRODUCTION = {
    "DJANGO_SECRET_KEY": "a key that has fifty characters or more, all of them random, say",
    "DJANGO_ALLOWED_HOSTS": "model.example",
    "DJANGO_HTTPS": "true",
    "INFERENCE_ACCESS": "keys",
}


def test_production_settings_pass_djangos_own_check() -> None:
    env = processes.environment(None, processes.new_database(), PRODUCTION | processes.FAKE)
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]

    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)

    assert ran.returncode == 0, ran.stderr
    assert "no issues" in ran.stdout


def test_https_is_what_cookies_and_redirects_assume() -> None:
    env = processes.FAKE | PRODUCTION | {"DJANGO_ALLOWED_HOSTS": "model.example,127.0.0.1"}
    with processes.web(env=env, wait_for="/health/live") as server, open_client(server) as http:
        insecure = http.get("/admin/login/")
        health = http.get("/health/live")

    assert insecure.status_code == 301
    assert insecure.headers["location"].startswith("https://")
    assert health.headers["strict-transport-security"] == "max-age=2592000; includeSubDomains"


# The admin's login


@pytest.fixture
def admin(db: None, settings: Any) -> str:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the others take half a second
    return get_user_model().objects.create_superuser("root", password="right").get_username()


def log_in(browser: Client, name: str, password: str) -> int:
    return browser.post("/admin/login/", {"username": name, "password": password}).status_code


def test_logging_in_may_be_tried_five_times(admin: str, client: Client) -> None:
    wrong = [log_in(client, name, "wrong") for name in (admin, "ro0t", admin, "toor", admin)]
    locked = log_in(client, admin, "right")
    elsewhere = client.post(
        "/admin/login/", {"username": admin, "password": "right"}, REMOTE_ADDR="10.0.0.7"
    ).status_code
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    later = log_in(client, admin, "right")

    assert wrong == [200, 200, 200, 200, 429]
    assert locked == 429
    assert elsewhere == 302
    assert later == 302


def test_success_forgets_the_failures_before(admin: str, client: Client) -> None:
    for _ in range(2):
        assert [log_in(client, admin, "wrong") for _ in range(4)] == [200] * 4
        assert log_in(client, admin, "right") == 302
        client.logout()
