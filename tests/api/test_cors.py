"""Which headers let a browser's page of another origin use the server."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import RequestFactory

from inference.api.cors import answer_headers, is_preflight, preflight_headers
from inference.api.handlers import not_found
from inference.api.hosts import allowed_origin
from inference.conf import Conf

APP, OTHER = "https://app.example.com", "https://other.example.com"
LISTED, EVERY = (APP, "http://localhost:3000"), ("*",)
ANSWER = [(b"content-type", b"text/plain"), (b"X-Request-Id", b"1"), (b"retry-after", b"2")]
METHODS = b"GET, HEAD, POST"


def request(**headers: str) -> Callable[[bytes], str]:
    return lambda name: headers.get(name.decode().replace("-", "_"), "")


def preflight(origin: str, **headers: str) -> Callable[[bytes], str]:
    return request(origin=origin, access_control_request_method="POST", **headers)


@pytest.mark.parametrize(
    ("origins", "origin", "added"),
    [
        ((), APP, {}),
        ((), "", {}),
        (LISTED, APP, {"allow-origin": APP, "expose-headers": "retry-after, x-request-id", "vary": "origin"}),
        (LISTED, OTHER, {"vary": "origin"}),
        (LISTED, "", {"vary": "origin"}),
        (LISTED, "null", {"vary": "origin"}),
        (EVERY, APP, {"allow-origin": "*", "expose-headers": "retry-after, x-request-id"}),
        (EVERY, "null", {"allow-origin": "*", "expose-headers": "retry-after, x-request-id"}),
        (EVERY, "", {}),
    ],
)
def test_an_answer_can_be_read_by_pages_that_are_allowed(
    origins: tuple[str, ...], origin: str, added: dict[str, str]
) -> None:
    headers = {name.decode(): value.decode() for name, value in answer_headers(origins, origin, ANSWER)}
    assert {name.removeprefix("access-control-"): value for name, value in headers.items()} == added


def test_what_every_page_may_read_is_not_listed() -> None:
    (origin,) = answer_headers(EVERY, APP, ANSWER[:1])
    assert origin == (b"access-control-allow-origin", b"*")


def test_a_preflight_is_told_what_may_be_sent() -> None:
    asked = preflight(APP, access_control_request_headers="authorization,x-mine")
    for origins in (LISTED, EVERY):
        assert dict(preflight_headers(origins, asked, METHODS)) == {
            b"access-control-allow-methods": METHODS,
            b"access-control-allow-headers": b"authorization,x-mine",
            b"access-control-max-age": b"7200",
        }
    assert b"access-control-allow-headers" not in dict(preflight_headers(LISTED, preflight(APP), METHODS))


@pytest.mark.parametrize(
    ("origins", "asked"),
    [((), preflight(APP)), (LISTED, preflight(OTHER)), (LISTED, request(origin=APP)), (EVERY, preflight(""))],
    ids=["no origin is allowed", "another is", "no method", "no origin"],
)
def test_other_requests_are_no_preflights(origins: tuple[str, ...], asked: Callable[[bytes], str]) -> None:
    assert not is_preflight(origins, asked)
    assert preflight_headers(origins, asked, METHODS) == []


@pytest.mark.parametrize(
    ("origins", "allowed"), [((), [False, False, True]), ((APP,), [True, False, True]), (EVERY, [True, True, True])]
)
def test_pages_of_our_hosts_and_of_allowed_origins_may_ask(
    settings: Any, origins: tuple[str, ...], allowed: list[bool]
) -> None:
    settings.INFERENCE, settings.ALLOWED_HOSTS = Conf(cors_origins=origins), ["ours.example"]
    asking = [APP, OTHER, "http://ours.example:9000"]
    assert [allowed_origin({"headers": [(b"origin", origin.encode())]}) for origin in asking] == allowed


def test_a_404_of_django_can_be_read(settings: Any) -> None:
    settings.INFERENCE = Conf(cors_origins=LISTED)
    asked = {"origin": APP, "access-control-request-method": "PUT", "access-control-request-headers": "x-mine"}
    for headers, status in (({"origin": APP}, 404), (asked, 204)):
        response = not_found(RequestFactory().options("/none", headers=headers))
        assert (response.status_code, response["access-control-allow-origin"]) == (status, APP)
    assert (response["access-control-allow-methods"], response["access-control-allow-headers"]) == ("PUT", "x-mine")
    other = not_found(RequestFactory().options("/none", headers=asked | {"origin": OTHER}))
    assert (other.status_code, other.has_header("access-control-allow-origin")) == (404, False)
