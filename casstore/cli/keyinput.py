"""Key files that a command line names, and the passwords to them.

A password comes from the file that an option names, else from $COSIGN_PASSWORD (where cosign looks;
it may be empty), else from the terminal. It is never an argument: those are seen by everyone.
"""

from __future__ import annotations

import os
import sys

from casstore.cli.options import LIST, TEXT, Option, WrongUsage
from casstore.errors import CasstoreError
from casstore.files.namedfile import read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from casstore.cli.options import Args

PASSWORD_VARIABLE = "COSIGN_PASSWORD"

PASSWORD_FILE = Option(
    "password-file",
    "Read the key's password from a file (default: $COSIGN_PASSWORD,\nelse the terminal)",
    kind=TEXT,
    value="file",
    completes="file",
)
POLICY = Option(
    "policy",
    "Trust policy that images must satisfy\n(default: the store's own, trust-policy.json in it)",
    kind=TEXT,
    value="file",
    own=True,
    completes="file",
)
ANNOTATIONS = Option("annotations", "KEY=VALUE", short="a", kind=LIST, value="key=value")


def password_for(path: str, file: str | None) -> Callable[[], bytes]:
    """How to get the password of the key at `path`, when and if it is needed."""

    def password() -> bytes:
        known = _given(file)
        return known if known is not None else _asked(f"Password for {path}: ")

    return password


def new_password(file: str | None) -> bytes:
    """The password that a new key shall have; a person types it twice."""
    known = _given(file)
    if known is not None:
        return known
    first = _asked("Password for the new key (none: press Enter): ")
    if _asked("The same again: ") != first:
        raise CasstoreError("the two passwords differ; no key was made")
    return first


def _given(file: str | None) -> bytes | None:
    if file is not None:
        return read_file(file, "password file").removesuffix(b"\n").removesuffix(b"\r")
    return os.environb.get(PASSWORD_VARIABLE.encode())


def _asked(prompt: str) -> bytes:
    if not sys.stdin.isatty():
        raise CasstoreError(
            f"the key needs a password: set {PASSWORD_VARIABLE}, or use --password-file"
        )
    from getpass import getpass

    sys.stdout.flush()
    return getpass(prompt, sys.stderr).encode()


def required(args: Args, option: str) -> str:
    """The value of an option that a command cannot do without."""
    return args.text(option) or _needed(args, option)


def all_required(args: Args, option: str) -> tuple[str, ...]:
    """The values of an option that must be given at least once."""
    return args.texts(option) or _needed(args, option)


def _needed(args: Args, option: str) -> NoReturn:
    raise WrongUsage(f"'{args.command.called}' needs --{option}", args.command)


def annotations_of(args: Args) -> dict[str, str]:
    """The KEY=VALUE pairs of -a."""
    pairs = {}
    for text in args.texts("annotations"):
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise args.wrong("annotations", "KEY=VALUE is needed")
        pairs[key] = value
    return pairs


def key_with_password(text: str, file: str | None) -> tuple[bytes, Callable[[], bytes]]:
    """A private key given as FILE[:pass=…|:file=…], as skopeo takes it, and its password."""
    for mark in (":pass=", ":file="):
        path, found, rest = text.partition(mark)
        if found:
            if mark == ":pass=":
                return read_file(path, "key"), rest.encode
            return read_file(path, "key"), password_for(path, rest)
    return read_file(text, "key"), password_for(text, file)
