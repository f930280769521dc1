"""The access log: a line on stderr for each request, as web servers write it, or as JSON.

What a client sends is escaped: a line is a line, whatever it asked for. One write a line, so that
lines of several processes do not mix.
"""

from __future__ import annotations

import json
import os
import time
from typing import NamedTuple

from casstore.clock import current_time
from casstore.server.message import Request

TEXT, JSON = "text", "json"
_MOST = 1024  # characters of a target or an agent
STDERR = 2


class Served(NamedTuple):
    """A request that is over, answered or refused."""

    peer: str
    user: str | None
    method: str
    target: str  # as it was sent
    status: int
    received: int  # bytes, as far as they were read
    sent: int
    seconds: float
    agent: str


class AccessLog:
    """Writes the lines of one process."""

    def __init__(self, form: str = TEXT, descriptor: int = STDERR) -> None:
        self._form = form
        self._descriptor = descriptor
        self._second, self._stamp = 0, ""

    def answered(self, request: Request, status: int) -> None:
        """Note nothing: how much was sent, and how long it took, is known at the end."""

    def write(self, served: Served) -> None:
        """Note one request."""
        if self._form == JSON:
            line = json.dumps(
                {
                    "time": self._time(),
                    "peer": served.peer,
                    "user": served.user,
                    "method": served.method[:_MOST],
                    "target": served.target[:_MOST],
                    "status": served.status,
                    "received": served.received,
                    "sent": served.sent,
                    "seconds": round(served.seconds, 6),
                    "agent": served.agent[:_MOST],
                }
            )
        else:
            line = (
                f"{served.peer or '-'} - {_shown(served.user or '-')} [{self._time()}]"
                f' "{_shown(served.method)} {_shown(served.target)}" {served.status}'
                f' {served.sent} {served.seconds:.3f} "{_shown(served.agent or "-")}"'
            )
        self.say(line)

    def say(self, line: str) -> None:
        """Write a line that is finished."""
        try:
            os.write(self._descriptor, (line + "\n").encode("utf-8", "backslashreplace"))
        except OSError:
            pass  # nobody reads it; that is no reason to serve nobody

    def _time(self) -> str:
        now = current_time() // 1_000_000_000
        if now != self._second:
            # Both, in this order: another thread may be here too.
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
            self._second = now
        return self._stamp


def _shown(text: str) -> str:
    cut = text[:_MOST]
    if cut.isascii() and cut.isprintable() and '"' not in cut and "\\" not in cut:
        return cut
    return json.dumps(cut)[1:-1].replace("\x7f", "\\u007f")
