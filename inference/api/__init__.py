"""Runs in web processes, on the event loop: HTTP, WebSocket and server-sent events.

In: ASGI scopes and events. Out: ASGI events. Requests are checked (method, host, origin), read and written by the
dialect of their route, and answered by ``inference.serving``.
"""
