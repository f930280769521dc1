"""What the terminal at the other end can show. Asked once, by whoever draws.

Sources: NO_COLOR (no-color.org: any value but the empty one), TERM=dumb as ncurses and git have
it; box drawing needs an encoding that has it.
"""

from __future__ import annotations

import os

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

BOLD, DIM, CYAN, GREEN = "\x1b[1m", "\x1b[2m", "\x1b[36m", "\x1b[32m"
_RESET = "\x1b[0m"
_BOX = "│├└─█░"


class Terminal(Value):
    """What may be written to a stream."""

    is_terminal: bool  # somebody looks on, and the cursor can be moved
    colour: bool
    box: bool  # box-drawing characters and blocks

    def paint(self, text: str, style: str) -> str:
        """`text` in a style, where colours are shown."""
        return f"{style}{text}{_RESET}" if self.colour and text else text


def terminal_of(stream: TextIO) -> Terminal:
    """What `stream` can show."""
    try:
        is_terminal = stream.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb")
    except ValueError:  # it is closed
        is_terminal = False
    try:
        _BOX.encode(stream.encoding or "ascii")
        box = is_terminal
    except (LookupError, UnicodeEncodeError):
        box = False
    return Terminal(is_terminal, is_terminal and not os.environ.get("NO_COLOR"), box)
