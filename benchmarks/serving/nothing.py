"""A bare ASGI application that answers the same few bytes to everything: what a client and a connection cost by themselves."""

from __future__ import annotations

from typing import Any

BODY = b'{"gradients":{"x":[0.0,0.0]}}'
HEAD = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Read the request, and answer."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEAD})
    await send({"type": "http.response.body", "body": BODY})
