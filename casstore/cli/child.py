"""A command run to its end, with the files it inherits.

By fork and exec, not `subprocess`: the child keeps the descriptor whose lock is the lease, so that
the lease holds for as long as the command lives even where casstore is killed before it.
"""

from __future__ import annotations

import os
import signal
import sys

from casstore.errors import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

CANNOT_RUN = 126
NO_COMMAND = 127
SIGNALLED = 128


def run_to_end(words: Sequence[str], *, keep: Sequence[int]) -> int:
    """Run `words`, which inherits the descriptors `keep`, and return the status as a shell would.

    Signals from a terminal reach the command by themselves and are for it; SIGTERM and SIGHUP,
    which reach casstore alone, are passed on.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = 0
    previous = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)
    }
    try:
        child = os.fork()
        if child == 0:
            _become(words, keep)
        for number in (signal.SIGTERM, signal.SIGHUP):
            previous[number] = signal.signal(number, lambda got, _frame: os.kill(child, got))
        _, status = os.waitpid(child, 0)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if os.WIFSIGNALED(status):
        return SIGNALLED + os.WTERMSIG(status)
    return os.WEXITSTATUS(status)


def _become(words: Sequence[str], keep: Sequence[int]) -> NoReturn:
    # In the child: whatever happens, it must not go on as a second casstore.
    try:
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        for descriptor in keep:
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - positional only
        try:
            os.execvp(words[0], list(words))  # noqa: S606 - the user's own command, as typed
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            reason = (error.strerror or "cannot be run").lower()
            sys.stderr.write(f"Error: {quote(words[0])}: {reason}\n")
            sys.stderr.flush()
            os._exit(NO_COMMAND if missing else CANNOT_RUN)
    finally:
        os._exit(CANNOT_RUN)
