"""Command lines the way Docker's CLI reads them, declared once and used for everything.

One declaration per command drives the parser, `--help`, the man page and shell completion, so
the four cannot disagree. Written by hand because argparse costs 8 ms of start-up, which is half
of a whole `rmi`, and because its pages and its grammar (abbreviated options, no `-f=false`) are
not those of Docker.

Grammar, as in Go's pflag: `--flag`, `--flag=value`, `--flag value`, `-f`, `-f value`, `-fvalue`,
`-f=value`, bundles (`-aq`), options between and after arguments, `--` ends the options. An option
that takes a value takes the next word whatever it is.
"""

from __future__ import annotations

from casstore.errors import UsageError, printable, quote
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "casstore"

# Kinds of option.
FLAG = "flag"  # on or off; also --flag=false
TEXT = "text"  # one value, the last one given counts
LIST = "list"  # may be repeated, every value counts

_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))

# The statuses that mean the same in every command; each command words its own 0 and 1.
WRONG_USAGE = (2, "wrong usage")
NO_STORE = (10, "there is no store, or a newer casstore wrote it")
LOCKED = (11, "another process kept the store locked; trying again can work")
DAMAGED = (12, "the store is damaged; see casstore fsck")
OF_A_LOOK = (WRONG_USAGE, NO_STORE, DAMAGED)
OF_A_CHANGE = (WRONG_USAGE, NO_STORE, LOCKED, DAMAGED)


class Option(Value):
    """One option of one command."""

    name: str  # the long name, without dashes
    help: str  # what it does; further lines are indented under the first
    short: str = ""  # the letter, without dash
    kind: str = FLAG
    value: str = "string"  # word that stands for the value on the help page
    choices: tuple[str, ...] = ()  # the only values allowed, where there are any
    default: str = ""  # for TEXT; for FLAG "true" where it is on unless switched off
    own: bool = False  # not an option of Docker's command: listed after those
    completes: str = ""  # what a shell offers for the value: "file", "directory" or "image"

    @property
    def shown(self) -> str:
        """The option as messages name it: `-f, --filter`."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


HELP_OPTION = Option("help", "Print usage")
# What several commands have.
NO_TRUNC = Option("no-trunc", "Don't truncate output")
AS_JSON = Option("format", "'json': one JSON object a line", kind=TEXT, choices=("json",))


class Command(Value):
    """What a command takes and what it answers."""

    name: str  # the words after `casstore`
    arguments: str  # as the usage line shows them
    summary: str  # one line, no full stop
    options: tuple[Option, ...] = ()  # without --help, which every command has
    least: int = 0  # how many arguments
    most: int | None = None
    exits: tuple[tuple[int, str], ...] = ()
    description: str = ""  # for the man page; paragraphs between blank lines
    completes: str = ""  # what a shell offers for an argument: "file", "image", "lease"
    in_order: bool = False  # options stop at the first argument
    splits: bool = False  # what follows `--` is kept apart, as `Args.rest`

    @property
    def called(self) -> str:
        """The command with the program's name before it."""
        return f"{PROGRAM} {self.name}" if self.name else PROGRAM

    @property
    def all_options(self) -> tuple[Option, ...]:
        """Every option with --help, sorted by long name."""
        return tuple(sorted((*self.options, HELP_OPTION)))


class WrongUsage(UsageError):
    """A command line that does not fit `command`."""

    def __init__(self, message: str, command: Command, *, show_usage: bool = False) -> None:
        super().__init__(message)
        self.command = command
        self.show_usage = show_usage

    def lines(self) -> list[str]:
        """What stderr gets: the message, where to read more, and for a wrong count the usage."""
        lines = [str(self), f"See '{self.command.called} --help'."]
        if self.show_usage:
            lines += ["", usage_line(self.command)]
        return lines


class Args:
    """A parsed command line. Asking for an option that is not declared is a programming error."""

    __slots__ = ("_options", "_values", "command", "positional", "rest")

    def __init__(self, command: Command) -> None:
        self.command = command
        self.positional: tuple[str, ...] = ()
        self.rest: tuple[str, ...] = ()
        self._options = {option.name: option for option in command.options}
        self._values: dict[str, list[str]] = {}

    def flag(self, name: str) -> bool:
        """Whether a flag is on."""
        given = self._values.get(name)
        return (given[-1] if given else self._options[name].default) == "true"

    def text(self, name: str) -> str | None:
        """The value of an option, or None if it was not given and has no default."""
        given = self._values.get(name)
        return given[-1] if given else (self._options[name].default or None)

    def texts(self, name: str) -> tuple[str, ...]:
        """Every value of an option that may be repeated, in order."""
        return tuple(self._values.get(name, ()))

    def wrong(self, name: str, reason: str) -> WrongUsage:
        """The error for the last value of an option, for the command to raise."""
        return invalid_value(self.command, self._options[name], self.text(name) or "", reason)

    def take(self, option: Option, value: str) -> None:
        """Note a value, checked as far as the declaration goes."""
        if option.kind == FLAG:
            if value not in _TRUE and value not in _FALSE:
                raise invalid_value(self.command, option, value, "not true or false")
            value = "true" if value in _TRUE else "false"
        elif option.choices and value not in option.choices:
            allowed = ", ".join(option.choices)
            raise invalid_value(self.command, option, value, f"must be one of {allowed}")
        self._values.setdefault(option.name, []).append(value)


def parse(command: Command, words: Sequence[str]) -> Args | None:
    """Read a command line; None means that --help was asked for.

    Raises:
        WrongUsage: an unknown option, a missing or wrong value, too few or too many arguments.
    """
    args = Args(command)
    by_name = {option.name: option for option in command.options}
    by_letter = {option.short: option for option in command.options if option.short}
    positional: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            after = tuple(words[at:])
            if command.splits:
                args.rest = after
            else:
                positional += after
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if name == "help":
                return None
            found = by_name.get(name)
            if found is None:
                raise WrongUsage(f"unknown flag: --{_cut(name)}", command)
            if equals:
                args.take(found, value)
            elif found.kind == FLAG:
                args.take(found, "true")
            elif at < len(words):
                args.take(found, words[at])
                at += 1
            else:
                raise WrongUsage(f"flag needs an argument: --{name}", command)
        elif word.startswith("-") and word != "-":
            letters = word[1:]
            while letters:
                letter, letters = letters[0], letters[1:]
                found = by_letter.get(letter)
                if found is None:
                    if letter == "h":
                        return None
                    raise WrongUsage(
                        f"unknown shorthand flag: '{_cut(letter)}' in {_cut(word)}", command
                    )
                if letters.startswith("="):
                    args.take(found, letters[1:])
                    break
                if found.kind == FLAG:
                    args.take(found, "true")
                    continue
                if letters:
                    args.take(found, letters)
                elif at < len(words):
                    args.take(found, words[at])
                    at += 1
                else:
                    raise WrongUsage(f"flag needs an argument: '{letter}' in {_cut(word)}", command)
                break
        else:
            positional.append(word)
            if command.in_order:
                positional += words[at:]
                break
    args.positional = tuple(positional)
    _check_count(command, len(positional))
    return args


def invalid_value(command: Command, option: Option, value: str, reason: str) -> WrongUsage:
    """The error for a value that an option cannot take, in Docker's form."""
    return WrongUsage(
        f'invalid argument {quote(value)} for "{option.shown}" flag: {reason}', command
    )


def _check_count(command: Command, count: int) -> None:
    least, most = command.least, command.most
    if most == 0 and count:
        message = "accepts no arguments"
    elif least == most and count != least:
        message = f"requires {_arguments(least)}"
    elif count < least:
        message = f"requires at least {_arguments(least)}"
    elif most is not None and count > most:
        message = f"requires at most {_arguments(most)}"
    else:
        return
    raise WrongUsage(f"'{command.called}' {message}", command, show_usage=True)


def _arguments(count: int) -> str:
    return f"{count} argument" if count == 1 else f"{count} arguments"


def _cut(text: str) -> str:
    return printable(text if len(text) <= 80 else text[:79] + "…")


def usage_line(command: Command) -> str:
    """`Usage:  casstore rmi [OPTIONS] IMAGE [IMAGE...]`."""
    words = [command.called]
    if command.options:
        words.append("[OPTIONS]")
    if command.arguments:
        words.append(command.arguments)
    return "Usage:  " + " ".join(words)
