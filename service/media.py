"""Media types: what a client accepts, and what it sends."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers

from service.problems import problem

JSON = "application/json"
MARKDOWN = "text/markdown"
EVENTS = "text/event-stream"
LATEX = ("application/x-latex", "application/x-tex", "text/x-tex", "text/x-latex")
"""What LaTeX is called; no name is registered."""
DRAWINGS = {"dot": "text/vnd.graphviz", "svg": "image/svg+xml", "png": "image/png"}
"""Media types of drawings by `format`."""


def choose(headers: Headers, offered: Sequence[str]) -> str:
    """The offered media type that the client likes best (RFC 9110, 12.5.1); the first of them where it does not care.

    Raises `Problem` (not-acceptable) if none will do.
    """
    given = headers.get("accept")
    if given is None or given == "*/*" or given == JSON == offered[0]:
        return offered[0]
    ranges = [_range(part) for part in ",".join(headers.getlist("accept")).split(",") if part.strip()]
    best, best_quality = "", 0.0
    for media in offered:
        quality = _quality(media, ranges)
        if quality > best_quality:
            best, best_quality = media, quality
    if not best and ranges:
        raise problem(
            "not-acceptable",
            f"The answer can be given as {' or '.join(offered)}; the header Accept allows none of them.",
        )
    return best or offered[0]


def named(headers: Headers, media: str) -> bool:
    """Whether Accept names a media type, not just a range that it is in."""
    ranges = [_range(part) for part in ",".join(headers.getlist("accept")).split(",") if part.strip()]
    return any(kind == media and quality > 0 for kind, quality in ranges)


def _range(part: str) -> tuple[str, float]:
    kind, *parameters = part.split(";")
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                quality = min(1.0, max(0.0, float(value.strip())))
            except ValueError:
                quality = 0.0
    return kind.strip().lower(), quality if quality == quality else 0.0


def _quality(media: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Quality of a media type: what the most specific range that it is in says."""
    kind = media.partition(";")[0]
    family = kind.partition("/")[0]
    for wanted in (kind, f"{family}/*", "*/*"):
        found = [q for k, q in ranges if k == wanted]
        if found:
            return max(found)
    return 0.0


def check_json(headers: Headers) -> None:
    """Raise `Problem` (unsupported-media-type) unless the body is declared to be JSON; missing-body if there is none.

    A page elsewhere can make a browser post a form or plain text anywhere without asking, but not JSON.
    """
    given = headers.get("content-type")
    if given == JSON:
        return
    if given is None and headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        raise problem(
            "missing-body", "The request has no body. It needs a JSON object, sent as application/json."
        )
    kind, *parameters = (given or "").split(";")
    kind = kind.strip().lower()
    if not (kind == JSON or (kind.startswith("application/") and kind.endswith("+json"))):
        what = f"it was sent as {kind[:80]!r}" if kind else "the request has no Content-Type"
        raise problem(
            "unsupported-media-type",
            f"The body must be JSON, sent as application/json; {what}.",
            headers={"Accept-Post": JSON},
        )
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in (
            "utf-8",
            "utf8",
            "us-ascii",
        ):
            raise problem(
                "unsupported-media-type", "JSON is read in UTF-8 only.", headers={"Accept-Post": JSON}
            )
