"""Private and undocumented names of other libraries that this package uses, looked up when a server starts.

Daphne has no settings for most of what this package limits, so its protocols are subclassed and their buffers read.
A release without one of these names must stop the server, not remove a limit silently.
"""

import dis
import inspect
import platform
import selectors
from collections.abc import Iterable
from importlib import metadata
from pkgutil import resolve_name
from types import FunctionType
from typing import Any, NamedTuple

TESTED = {"Daphne": "4.2.3", "Twisted": "26.10.0", "autobahn": "26.10.2", "Python": "3.11"}


class Use(NamedTuple):
    """Names of one class, module or function."""

    owner: str
    """As ``pkgutil.resolve_name`` reads it. The names of a function are those that it refers to."""
    needed_for: str
    names: str
    """Separated by spaces."""


USES = [
    # slow_readers.py
    Use(
        "twisted.internet.abstract:FileDescriptor",
        "the limit on unsent bytes",
        "dataBuffer offset _tempDataBuffer _tempDataLen",
    ),
    # closing.py, hooks.py
    Use("atexit", "a stop that runs the exit functions of a project", "_run_exitfuncs"),
    Use("twisted.internet.tcp:Port", "the queue of new connections", "socket"),
    Use("twisted.internet.tcp:Port", "a stop that resets no connection", "doRead numberAccepts"),
    Use("twisted.internet.tcp:Port", "a stop that leaves a socket to its supervisor", "_shouldShutdown"),
    Use("twisted.internet.tcp:Connection", "a stop that resets no connection", "protocol"),
    Use("twisted.protocols.policies:ProtocolWrapper", "a stop that resets no connection", "wrappedProtocol"),
    Use("twisted.web.http:_GenericHTTPChannelProtocol", "a stop that resets no connection", "_channel"),
    # http.py
    Use("twisted.web.http", "every limit on HTTP", "RESPONSES _GenericHTTPChannelProtocol"),
    Use("daphne.http_protocol:HTTPFactory", "every limit on HTTP", "protocol"),
    Use("daphne.http_protocol:HTTPFactory.buildProtocol", "the limit on request bodies", "WebRequest"),
    # http_limits.py
    Use(
        "twisted.web.http:HTTPChannel",
        "the limits on the size and speed of requests",
        "length requests requestDone persistent maxHeaders totalHeadersSize _path _buffer _handlingRequest "
        "_receivedHeaderCount _receivedHeaderSize _respondToBadRequestAndDisconnect allHeadersReceived "
        "allContentReceived lineReceived rawDataReceived lineLengthExceeded",
    ),
    Use("twisted.web.http:HTTPFactory", "the time limit for the last bytes of a connection", "timeOut"),
    # http_connection.py
    Use("twisted.web.http:HTTPChannel", "early refusal", "_dataBuffer"),
    Use("daphne.http_protocol:HTTPFactory", "early refusal", "server"),
    Use("daphne.http_protocol:WebRequest.process", "early refusal behind a proxy", "proxy_forwarded_address_header"),
    # http_request.py
    Use("twisted.web.http:Request.__init__", "the limit on the time to parse a form", "parsePOSTFormSubmission"),
    Use("twisted.web.http:Request", "the limit on request bodies", "channel handleContentChunk"),
    Use("twisted.web.http:Request", "the end of answers that fail", "chunked responseHeaders"),
    Use(
        "daphne.http_protocol:WebRequest",
        "the end of answers that fail",
        "_response_started basic_error handle_exception handle_reply",
    ),
    # websocket.py
    Use("daphne.ws_protocol:WebSocketFactory", "every limit on WebSockets", "protocol"),
    Use("daphne.ws_protocol:WebSocketProtocol", "the limits on received frames", "application_queue muted"),
    Use(
        "autobahn.websocket.protocol:WebSocketProtocol",
        "the limits on received frames",
        "message_data message_data_total_length onMessageFrameData",
    ),
    Use(
        "autobahn.websocket.protocol:WebSocketServerFactory",
        "the limits on frames",
        "closeHandshakeTimeout maxFramePayloadSize maxMessagePayloadSize",
    ),
    Use(
        "daphne.ws_protocol:WebSocketProtocol",
        "the limit on unsent frames",
        "check_timeouts last_ping serverClose serverSend",
    ),
    Use("daphne.ws_protocol:WebSocketProtocol", "the reasons of refused and closed sockets", "handle_reply"),
    Use(
        "autobahn.websocket.protocol:WebSocketProtocol",
        "the limit on unsent frames",
        "STATE_CONNECTING STATE_OPEN autoPingPending autoPingTimeoutCall onAutoPingTimeout sendCloseFrame "
        "sendData state",
    ),
    Use(
        "autobahn.websocket.protocol:WebSocketServerProtocol",
        "the answer to a handshake that fails",
        "sendHttpErrorResponse failHandshake http_status_line",
    ),
    Use(
        "autobahn.websocket.protocol:WebSocketServerProtocol",
        "subprotocols with percent signs",
        "websocket_protocols",
    ),
    Use("daphne.ws_protocol", "the answer to a handshake that fails", "ConnectionDeny"),
    # http_limits.py, websocket.py: paths below Daphne's own prefix
    Use("daphne.http_protocol:WebRequest.process", "the prefix of the limits", "root_path"),
    Use("daphne.ws_protocol:WebSocketFactory", "the prefix of the limits", "server_class"),
    # access_log.py
    Use("daphne.access:AccessLogGenerator", "the access log", "stream write_entry"),
    # event_loop.py
    Use("asyncio:SelectorEventLoop", "the limit on events per iteration of the event loop", "_selector"),
]
if hasattr(selectors, "EpollSelector"):
    USES.append(Use("selectors:EpollSelector", "the limit on events per iteration of the event loop", "_selector"))


def missing() -> list[str]:
    """One sentence for each name that is not there. Imports Daphne's protocols, but no reactor."""
    return [_sentence(use, name) for use in USES for name in use.names.split() if not _has(use.owner, name)]


def _has(owner: str, name: str) -> bool:
    try:
        found = resolve_name(owner)
    except (ImportError, AttributeError):
        return False
    if inspect.isfunction(found):
        code = inspect.unwrap(found).__code__
        return name in code.co_names or name in code.co_varnames
    if not inspect.isclass(found):
        return hasattr(found, name)
    attributes = [vars(base) for base in inspect.getmro(found) if not base.__module__.startswith("inference.")]
    return any(name in of_base or _is_assigned(name, of_base.values()) for of_base in attributes)


def _is_assigned(name: str, values: Iterable[Any]) -> bool:
    """Whether a method among the values assigns the attribute, which only instances may have."""
    return any(isinstance(value, FunctionType) and _assigns(value, name) for value in values)


def _assigns(method: FunctionType, name: str) -> bool:
    if name not in method.__code__.co_names:
        return False
    return any(found.opname == "STORE_ATTR" and found.argval == name for found in dis.get_instructions(method))


def _sentence(use: Use, name: str) -> str:
    library = _library(use.owner)
    name = f"{use.owner.replace(':', '.')}.{name}"
    tested = ", ".join(" ".join(pair) for pair in TESTED.items())
    return (
        f"{library} {_installed(library)} has no {name}, which is needed for {use.needed_for}; "
        f"the versions that were tested are {tested}."
    )


def _library(owner: str) -> str:
    return next((library for library in TESTED if owner.startswith(library.lower())), "Python")


def _installed(library: str) -> str:
    if library == "Python":
        return platform.python_version()
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "(not installed)"
