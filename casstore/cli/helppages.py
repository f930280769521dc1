"""The pages that --help prints, made of the declarations that the parser works with."""

from __future__ import annotations

from casstore.cli.main import INTERNAL_ERROR, INTERRUPTED
from casstore.cli.options import DAMAGED, FLAG, LOCKED, NO_STORE, PROGRAM, WRONG_USAGE, usage_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from casstore.cli.options import Command, Option

# What a status means, whatever the command; a command's own page words its 0 and 1.
STATUSES = (
    (0, "done"),
    (1, "refused or failed; of several arguments, the others went"),
    WRONG_USAGE,
    (3, "gc with a policy: a goal cannot be reached; diff --exit-code: there are differences"),
    NO_STORE,
    LOCKED,
    DAMAGED,
    (INTERNAL_ERROR, "a bug in casstore; CASSTORE_DEBUG=1 shows where"),
    (INTERRUPTED, "interrupted; 129 and 143: ended by SIGHUP and by SIGTERM"),
)

# The commands in the order of `casstore --help`: what one does most comes first.
GROUPS = (
    ("Images", ("images", "load", "save", "tag", "rmi", "inspect", "history", "import")),
    ("Files of images", ("ls", "cat", "cp", "export", "unpack", "diff")),
    ("Registries and other stores", ("pull", "push", "copy", "login", "logout", "serve")),
    ("What goes and what stays", ("prune", "gc", "pin", "unpin", "lease", "trash", "restore")),
    ("Disk space", ("df", "tree", "why", "report")),
    ("Signatures and encryption", ("sign", "verify", "sbom", "key", "encrypt", "decrypt")),
    ("The store", ("events", "fsck", "config", "publish")),
)


def global_page(program: Command, commands: Mapping[str, str]) -> str:
    """The page of `casstore --help`, of commands with their one-line helps."""
    lines = [help_page(program)]
    width = max(map(len, commands))
    for title, pairs in grouped(commands):
        lines += ["", f"{title}:", *aligned([(name.ljust(width), text) for name, text in pairs])]
    lines += ["", "Exit status:", *aligned([(str(status), text) for status, text in STATUSES])]
    lines += ["", f"Run '{PROGRAM} COMMAND --help' for more information on a command."]
    return "\n".join(lines)


def grouped(commands: Mapping[str, str]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Every command with its one-line help, in the groups of the page: (title, pairs)."""
    return [
        (title, [(name, commands[name]) for name in names if name in commands])
        for title, names in GROUPS
    ]


def family_page(family: Command, commands: Sequence[Command]) -> str:
    """The page of a command that has commands of its own."""
    pairs = [(command.name.rpartition(" ")[2], command.summary) for command in commands]
    return "\n".join([help_page(family), "", "Commands:", *aligned(pairs)])


def alias_page(family: str, pairs: Sequence[tuple[str, str]]) -> str:
    """The page of `casstore image` and the like, where Docker has its commands, too."""
    return "\n".join([f"Usage:  {PROGRAM} {family} COMMAND", "", "Commands:", *aligned(pairs)])


def help_page(command: Command) -> str:
    """The whole of --help: Docker's page, then the options Docker has not, then the statuses."""
    lines = [usage_line(command), "", command.summary, "", "Options:"]
    docker = [option for option in command.all_options if not option.own]
    own = [option for option in command.all_options if option.own]
    lines += option_lines(docker)
    if own:
        lines += ["", "Options of casstore:", *option_lines(own)]
    if command.exits:
        lines += ["", "Exit status:", *aligned([(str(code), text) for code, text in command.exits])]
    return "\n".join(lines)


def option_lines(options: Sequence[Option]) -> list[str]:
    """`  -f, --force      Force removal of the image`, aligned among themselves."""
    pairs = []
    for option in options:
        left = f"-{option.short}, " if option.short else "    "
        left += f"--{option.name}"
        if option.kind != FLAG:
            left += f" {option.value}"
        pairs.append((left, option.help))
    return aligned(pairs)


def aligned(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Two columns, indented by 2, three blanks between; further lines stand under the second."""
    width = max(len(left) for left, _ in pairs) + 3
    lines = []
    for left, right in pairs:
        first, *more = right.split("\n")
        lines.append(f"  {left.ljust(width)}{first}")
        lines += [f"  {' ' * width}{line}" for line in more]
    return lines
