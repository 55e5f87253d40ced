"""The daemon's log: lines for people, or JSON where systemd's journal takes it. Each entry names the request that it
belongs to, if there is one."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping

from banger.host.times import now
from banger.model.asked import ASKED
from banger.model.encoding import encode_json


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        asked = ASKED.get()
        record.asked = f"[{asked.request} {asked.principal}] " if asked else ""
        return super().format(record)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": now(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        asked = ASKED.get()
        if asked is not None:
            told |= {"request": asked.request, "principal": asked.principal}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return encode_json(told).decode()


def begin_log(environment: Mapping[str, str] = os.environ) -> None:
    """Log to stderr from now on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _Json()
        if _is_journal(environment)
        else _Plain("%(asctime)s %(levelname)s %(name)s %(asked)s%(message)s")
    )
    logging.basicConfig(level=environment.get("BANGER_LOG", "INFO").upper(), handlers=[handler])
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def _is_journal(environment: Mapping[str, str]) -> bool:
    """Whether stderr is systemd's stream to the journal, as its documentation says how to find out."""
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        info = os.fstat(2)
    except OSError:
        return False
    return (device, inode) == (str(info.st_dev), str(info.st_ino))
