"""Times that requests name."""

from __future__ import annotations

from datetime import UTC, datetime

from banger.errors import Error


def read_moment(text: str, field: str = "since") -> datetime:
    """A time in RFC 3339, which has an offset from UTC. Raises `bad_request`."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("it has no offset from UTC")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise Error(
            "bad_request", f"{field}={text[:64]!r}: {exc}", 'write it like "2026-01-31T12:00:00Z"'
        ) from exc


def read_milliseconds(text: str, field: str) -> int | None:
    """The same as milliseconds since 1970; None for no text."""
    return int(read_moment(text, field).timestamp() * 1000) if text else None
