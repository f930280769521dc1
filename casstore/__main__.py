"""`python -m casstore`, and the console script `casstore`."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and leave the process.

    It leaves by `os._exit`: everything is flushed and durable by then, and taking the interpreter
    down would cost a millisecond or two more. The store is closed before: `run` has dropped it, so
    SQLite has brought its log back into casstore.db, which a read-only copy can be read from.
    """
    try:
        from casstore.cli.main import main as run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:  # while the modules were loading
        status = 130
    os._exit(status)


if __name__ == "__main__":
    main()
