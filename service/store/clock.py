"""The time of a registration."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """Now, in RFC 3339's form, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
