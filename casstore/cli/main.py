"""From the words of the command line to one command, and from every end to an exit status.

Dispatch is a table: only the module of the command asked for is imported. Each way to end has
one line on stderr and a status; a traceback is never shown, unless CASSTORE_DEBUG=1 asks for it.

    0 .. 12  what the command and casstore.errors say
    70       a bug in casstore (EX_SOFTWARE)
    128 + N  ended by signal N: 130 interrupted (SIGINT), 143 terminated (SIGTERM), 129 (SIGHUP)
"""

from __future__ import annotations

import os
import sys

from casstore.cli.app import App
from casstore.cli.options import (
    PROGRAM,
    TEXT,
    Command,
    Option,
    WrongUsage,
    invalid_value,
    parse,
)
from casstore.errors import CasstoreError, printable, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from casstore.cli.options import Args
    from casstore.store import Store

    OpenStore = Callable[[str, float], Store]

INTERNAL_ERROR = 70
SIGNALLED = 128
INTERRUPTED = SIGNALLED + 2
LOCK_TIMEOUT = 60.0
# As libzstd, the interpreter, OpenSSL (in two ways) and the C library tell it, by any exception.
_NO_MEMORY = (
    "not enough memory", "start new thread", "malloc failure", "malloc_failure",
    "cannot allocate memory",
)  # fmt: skip

# name -> one-line help, as in the command's own page; the module has the command's name, except
# where that is a word of Python.
COMMANDS = {
    "cat": "Print files of an image",
    "config": "Manage the settings of the store",
    "copy": "Copy an image between the store, registries, layouts and archives",
    "cp": "Copy files or folders of an image to the local filesystem",
    "decrypt": "Decrypt the layers of an image, under a new name",
    "df": "Show disk usage",
    "diff": "Show how the files of two images differ",
    "encrypt": "Encrypt the layers of an image, under a new name",
    "events": "Show what is done in the store, as it happens or since a time",
    "export": "Export an image's file system as a tar archive",
    "fsck": "Check the store, and repair it",
    "gc": "Remove what nothing refers to, and what a policy chooses",
    "history": "Show the history of an image",
    "images": "List images",
    "import": "Import the contents from a tarball to create a filesystem image",
    "inspect": "Display detailed information on one or more images",
    "key": "Manage keys for signing",
    "lease": "Manage leases, which hold images against removal",
    "load": "Load an image from a tar archive, a layout directory or STDIN",
    "login": "Log in to a registry",
    "logout": "Log out from a registry",
    "pin": "Protect images from gc and from every removal that is not forced",
    "ls": "List the files of an image",
    "prune": "Remove unused images",
    "publish": "Write index.json for other OCI tools, and set when it is written",
    "pull": "Download an image from a registry",
    "push": "Upload an image to a registry",
    "report": "Write a page that shows where the space goes",
    "restore": "Bring back removed images and names from the trash",
    "rmi": "Remove one or more images",
    "save": "Save one or more images to a tar archive (streamed to STDOUT by default)",
    "sbom": "Print the SBOM of an image",
    "serve": "Serve the images of the store as a registry, or to docker",
    "sign": "Sign one or more images",
    "tag": "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    "trash": "Show and empty the trash, where removed images are kept for a time",
    "tree": "Show images under what they are built on, or what layers bring",
    "unpack": "Unpack an image's file system to a directory",
    "unpin": "Unpin images, so that they can be removed again",
    "verify": "Verify the signatures of one or more images",
    "why": "Show everything that keeps an image or a blob",
}
# Not for people: what the shells' completions ask.
HIDDEN = ("__complete",)
MODULES = {"__complete": "complete", "import": "import_"}

# Docker's other names for the same commands.
_IN_IMAGE = ("history", "import", "inspect", "load", "prune", "pull", "push", "save", "tag")
ALIASES = {
    **{("image", name): name for name in _IN_IMAGE},
    ("image", "list"): "images",
    ("image", "ls"): "images",
    ("image", "remove"): "rmi",
    ("image", "rm"): "rmi",
    ("system", "df"): "df",
}

GLOBAL = Command(
    name="",
    arguments="COMMAND",
    summary="A container-image store that is just a directory",
    options=(
        Option(
            "lock-timeout",
            "Wait so long for another process to release the store\n"
            "(default: $CASSTORE_LOCK_TIMEOUT, else 60)",
            kind=TEXT,
            value="seconds",
        ),
        Option(
            "store",
            "Directory of the store (default: $CASSTORE_STORE, else\n"
            "$XDG_DATA_HOME/casstore, else ~/.local/share/casstore)",
            kind=TEXT,
            value="dir",
            completes="directory",
        ),
        Option("version", "Print version information and quit"),
    ),
    in_order=True,
)


def main(words: Sequence[str], open_store: OpenStore | None = None, *, ends: bool = False) -> int:
    """Run one command and return its exit status. All output is flushed.

    `ends`: so does the process after this, by `os._exit`, and the store is left to that.
    """
    _prepare_streams()
    try:
        status = _run(words, open_store, ends=ends)
        sys.stdout.flush()
    except WrongUsage as error:
        for line in error.lines():
            _say(line)
        status = error.exit_code
    except CasstoreError as error:
        _say(f"Error: {error}")
        status = error.exit_code
    except KeyboardInterrupt as end:
        by_hand = not end.args or SIGNALLED + end.args[0] == INTERRUPTED
        _say("Interrupted" if by_hand else "Terminated")
        status = INTERRUPTED if by_hand else SIGNALLED + end.args[0]
    except BrokenPipeError:  # the reader has left, as `head` does
        _discard_output()
        status = 1
    except MemoryError:
        _say("Error: out of memory")
        status = 1
    except RecursionError:
        _say("Error: the input is nested too deeply")
        status = 1
    except OSError as error:
        _say(f"Error: {_os_error(error)}")
        status = 1
    except ImportError as error:  # no descriptor left, an I/O error, half an installation
        _say(f"Error: a part of casstore cannot be loaded: {error}")
        status = 1
    except Exception as error:  # noqa: BLE001 - the last net: a bug must not look like bad input
        if type(error).__module__ == "sqlite3":
            _say(f"Error: cannot use the index: {error}")
            return 1
        if any(words in str(error).lower() for words in _NO_MEMORY):
            _say("Error: out of memory, or of threads")
            return 1
        if isinstance(error, OverflowError) and "timestamp" in str(error):
            _say("Error: the clock is set to a date after 2262, later than Python's clock can hold")
            return 1
        if os.environ.get("CASSTORE_DEBUG") == "1":
            import traceback

            traceback.print_exc()
        _say("Error: internal error, a bug in casstore; CASSTORE_DEBUG=1 shows where")
        status = INTERNAL_ERROR
    return status


def load_command(name: str) -> ModuleType:
    """The module of a command."""
    path = "casstore.cli.commands." + MODULES.get(name, name)
    __import__(path)  # not importlib.import_module: one import less
    return sys.modules[path]


def _run(words: Sequence[str], open_store: OpenStore | None, *, ends: bool) -> int:
    options = parse(GLOBAL, words)
    if options is None:
        from casstore.cli.helppages import global_page

        sys.stdout.write(global_page(GLOBAL, COMMANDS) + "\n")
        return 0
    if options.flag("version"):
        from casstore import __version__

        sys.stdout.write(f"casstore {__version__}\n")
        return 0
    if not options.positional:
        from casstore.cli.helppages import global_page

        sys.stderr.write(global_page(GLOBAL, COMMANDS) + "\n")
        return 2
    app = App(_store_path(options), _lock_timeout(options), open_store)
    name, rest = _resolve(options.positional)
    if not name:
        from casstore.cli.helppages import alias_page

        pairs = [(own, COMMANDS[to]) for (first, own), to in ALIASES.items() if first == rest[0]]
        sys.stdout.write(alias_page(rest[0], pairs) + "\n")
        return 0
    app.command = name
    module = load_command(name)
    subcommands = getattr(module, "SUBCOMMANDS", None)
    done = False
    try:
        if subcommands is not None:
            status = _run_subcommand(module.HELP, subcommands, rest, app)
        else:
            status = _run_command(module.HELP, module.run, rest, app)
        done = True
    finally:
        app.tell()
        # Not by its finalizer, which would swallow an interruption. One that failed has perhaps
        # written much into SQLite's log for nothing, on a full disk: that goes when it is closed.
        app.close(leave=done and ends)
    return status


def _run_command(
    command: Command, run: Callable[[Args, App], int], words: Sequence[str], app: App
) -> int:
    args = parse(command, words)
    if args is None:
        from casstore.cli.helppages import help_page

        sys.stdout.write(help_page(command) + "\n")
        return 0
    return run(args, app)


def _run_subcommand(
    family: Command,
    subcommands: dict[str, tuple[Command, Callable[[Args, App], int]]],
    words: Sequence[str],
    app: App,
) -> int:
    args = parse(family, words)
    if args is None:
        from casstore.cli.helppages import family_page

        page = family_page(family, [command for command, _ in subcommands.values()])
        sys.stdout.write(page + "\n")
        return 0
    name, *rest = args.positional
    if name not in subcommands:
        raise _unknown(f"{family.name} {name}", family)
    command, run = subcommands[name]
    return _run_command(command, run, rest, app)


def _resolve(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    # The command and its words; no command, with the family's name, where a family's page is asked.
    first = words[0]
    if first in COMMANDS or first in HIDDEN:
        return first, words[1:]
    if any(first == family for family, _ in ALIASES):
        if len(words) == 1 or words[1] in ("--help", "-h"):
            return "", words
        name = ALIASES.get((first, words[1]))
        if name is None:
            raise _unknown(" ".join(words[:2]), GLOBAL)
        return name, words[2:]
    raise _unknown(first, GLOBAL)


def _unknown(words: str, command: Command) -> WrongUsage:
    shown = printable(words if len(words) <= 80 else words[:79] + "…")
    return WrongUsage(f"{PROGRAM}: '{shown}' is not a {PROGRAM} command", command)


def _store_path(options: Args) -> str:
    path = options.text("store")
    if path == "":
        raise options.wrong("store", "a directory is needed")
    if path is not None and not path.startswith("~"):
        return path
    from casstore.model.storepath import store_path

    return store_path(path, os.environ)


def _lock_timeout(options: Args) -> float:
    given = options.text("lock-timeout")
    text = given if given is not None else os.environ.get("CASSTORE_LOCK_TIMEOUT")
    if not text and given is None:
        return LOCK_TIMEOUT
    try:
        seconds = float(text or "")
    except ValueError:
        seconds = -1.0
    if 0.0 <= seconds < 1e9:  # not NaN, not infinite
        return seconds
    needed = "a number of seconds, 0 or more, is needed"
    if given is None:
        raise WrongUsage(f"invalid value {quote(text)} of $CASSTORE_LOCK_TIMEOUT: {needed}", GLOBAL)
    raise invalid_value(GLOBAL, GLOBAL.options[0], given, needed)


def _os_error(error: OSError) -> str:
    reason = error.strerror or str(error) or "input or output failed"
    reason = reason[:1].lower() + reason[1:]
    return f"{printable(os.fsdecode(error.filename))}: {reason}" if error.filename else reason


def _prepare_streams() -> None:
    # A descriptor that the caller closed would be the next file opened: give it /dev/null.
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(descriptor, mode))  # noqa: SIM115 - for the process's life
    # A name that the terminal's encoding lacks is shown escaped; it is no reason to fail.
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _say(line: str) -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _discard_output()
    try:
        sys.stderr.write(printable(line) + "\n")
        sys.stderr.flush()
    except OSError:
        pass  # nobody listens; the status still says it


def _discard_output() -> None:
    # What could not be written must not be tried again when the interpreter goes.
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):  # a test's stream has no descriptor
        pass
