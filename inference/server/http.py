"""Makes Daphne use this package's HTTP connections and requests."""

from daphne import http_protocol
from twisted.web import http

from inference.server.http_connection import Connection
from inference.server.http_request import Request

PHRASES = {413: b"Content Too Large", 422: b"Unprocessable Content", 431: b"Request Header Fields Too Large"}
"""Reason phrases that Twisted lacks, or has from an older standard."""


def install() -> None:
    http_protocol.WebRequest = Request
    http_protocol.HTTPFactory.protocol = staticmethod(lambda: http._GenericHTTPChannelProtocol(Connection()))
    http.RESPONSES.update(PHRASES)
