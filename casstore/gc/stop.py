"""Asking a run of many turns to end early, from a signal handler or another thread."""

from __future__ import annotations


class Stopped(KeyboardInterrupt):
    """Asked to stop while no turn was under way."""


class Stop:
    """Whether somebody asked the run to end; set from a signal handler."""

    def __init__(self) -> None:
        self.asked = False
        self.in_turn = False

    def __repr__(self) -> str:
        return f"<casstore.Stop, {'asked' if self.asked else 'not asked'} for>"

    def ask(self, number: int) -> None:
        """End after the image in hand; raises Stopped (with the signal) where there is none."""
        self.asked = True
        if not self.in_turn:
            raise Stopped(number)
