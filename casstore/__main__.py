"""`python -m casstore`, and the console script `casstore`."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs the import of enum
import gc
import os
import sys

from casstore.startup.imports import install as install_finder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_ENDS = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)


def main() -> NoReturn:
    """Run the command line and leave the process.

    It leaves by `os._exit`: everything is flushed and durable by then, and taking the interpreter
    down would cost a millisecond or two more. The store is not closed either, so that SQLite's log
    stays for the next command: to bring it back into casstore.db, remove it and make it again would
    be four waits for the disk (FORMAT.md, "The log").

    A request to end (SIGINT, SIGTERM, SIGHUP) is an exception, so that what was begun is taken back
    and its temporary files are removed, also beside the output of a save.
    """
    # A start makes 20 000 objects that all stay; to look through them for cycles thirty times
    # takes a millisecond. From 50 000 new ones on there is something to look for.
    gc.set_threshold(50_000)
    try:
        _end_by_exception()
        install_finder()
        from casstore.cli.main import main as run

        status = run(sys.argv[1:], ends=True)
        _ignore_signals()
    except KeyboardInterrupt as end:  # while the modules were loading
        status = 128 + (end.args[0] if end.args else _signal.SIGINT)
    os._exit(status)


def _end_by_exception() -> None:
    for number in _ENDS:
        if _signal.getsignal(number) is not _signal.SIG_IGN:  # as under nohup
            _signal.signal(number, _end)


def _end(number: int, _frame: object) -> None:
    _ignore_signals()  # the first is enough: nothing is to disturb the cleaning up
    raise KeyboardInterrupt(number)


def _ignore_signals() -> None:
    for number in _ENDS:
        _signal.signal(number, _signal.SIG_IGN)


if __name__ == "__main__":
    main()
