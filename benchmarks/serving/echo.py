"""A bare ASGI application that reads an array with orjson or base64, doubles it, and writes it: no checks, no limits."""

from __future__ import annotations

from typing import Any

from benchmarks.rows.arrays import base64_alone, list_alone


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """`/JSON` and `/base64`."""
    if scope["type"] != "http":
        return
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    body = (list_alone if scope["path"] == "/JSON" else base64_alone)(b"".join(parts))
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})
