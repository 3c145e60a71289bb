"""Bodies on their way in and answers on their way out, without a second copy of either.

A large body comes in pieces of 64 KiB or more; joined at the end, it would be in memory twice. A large answer goes out
in the pieces that it was printed in, each when the one before is on its way, and other requests have their turn between.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


async def whole_body(receive: Receive) -> bytes | bytearray:
    """The body of a request. It is kept nowhere else, so that its memory is free once its reader drops it.

    Raises `ClientDisconnect`."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        only: bytes = message.get("body", b"")
        return only
    body = bytearray()
    while message["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body
        message = await receive()
    raise ClientDisconnect


class PiecesResponse(Response):
    """An answer in pieces, of a length that is known; each piece is dropped once it is sent."""

    def __init__(
        self, pieces: list[bytes], *, media_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(None, media_type=media_type, headers=headers)
        self.pieces = pieces
        self.headers["content-length"] = str(sum(map(len, pieces)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        self.pieces.reverse()
        while self.pieces:
            piece = self.pieces.pop()
            await send({"type": "http.response.body", "body": piece, "more_body": bool(self.pieces)})
