"""The user's home directory, or that there is none."""

from __future__ import annotations

import os
import pwd

from casstore.errors import UsageError, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def home_of(environment: Mapping[str, str]) -> str:
    """The user's home directory, an absolute path; empty where there is none.

    As Docker and podman find it. A home that is not known is never the working directory: whoever
    can write there could name a program to run, or read the password that is written.
    """
    home = environment.get("HOME", "")
    if not os.path.isabs(home):
        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            return ""
    return home if os.path.isabs(home) else ""


def expanded(path: str, home: str) -> str:
    """A path whose `~` no shell has expanded. Raises UsageError where there is no home."""
    if path != "~" and not path.startswith("~/"):
        return path
    if not home:
        raise UsageError(f"{quote(path)} means a home directory, and $HOME is not known")
    return home + path[1:]
