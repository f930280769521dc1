"""config: the settings of a store."""

from __future__ import annotations

from casstore.cli.options import (
    DAMAGED,
    LOCKED,
    NO_STORE,
    OF_A_CHANGE,
    OF_A_LOOK,
    TEXT,
    Args,
    Command,
    Option,
)
from casstore.cli.render import table
from casstore.errors import NotFound, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from casstore.cli.app import App

HELP = Command(
    name="config",
    arguments="COMMAND",
    summary="Manage the settings of the store",
    least=1,
    in_order=True,
    description="""\
Settings are kept in the store, so that every process that uses it keeps to them.

publish: always, the default, or on-demand; what that means is told by casstore publish --help.

trash.keep: how long rmi and prune keep what they remove in the trash, as 90s, 30m, 24h or 7d; 0,
the default, for not at all. Their option --keep goes before it.

verify: what pull, load and copy verify of compressed layers before they store them: all, the
default, or digest: their digests and sizes, and the rest when they are first read. Their option
--verify goes before it.""",
)

GET = Command(
    name="config get",
    arguments="SETTING",
    summary="Print the value of a setting, or its default",
    least=1,
    most=1,
    exits=((0, "it is printed"), (1, "no such setting"), *OF_A_LOOK),
)

LS = Command(
    name="config ls",
    arguments="",
    summary="List all settings",
    options=(
        Option(
            "format",
            "'table', 'json' (one object a line), or a Go template with the fields\n"
            ".Default .Help .IsSet .Name .Value",
            kind=TEXT,
        ),
    ),
    most=0,
    exits=((0, "they are listed"), (1, "a template is wrong"), *OF_A_LOOK),
)

SET = Command(
    name="config set",
    arguments="SETTING VALUE",
    summary="Set a setting",
    least=2,
    most=2,
    exits=(
        (0, "it is set"),
        (1, "no such setting"),
        (2, "wrong usage, or a value that the setting does not take"),
        NO_STORE,
        LOCKED,
        DAMAGED,
    ),
)

UNSET = Command(
    name="config unset",
    arguments="SETTING",
    summary="Let the default of a setting hold again",
    least=1,
    most=1,
    exits=((0, "it is not set"), (1, "no such setting"), *OF_A_CHANGE),
)

_HEADERS = {
    "Default": "DEFAULT",
    "Help": "DESCRIPTION",
    "IsSet": "SET",
    "Name": "NAME",
    "Value": "VALUE",
}


def get(args: Args, app: App) -> int:
    """Print one value."""
    (name,) = args.positional
    for setting in app.store.settings.list():
        if setting.name == name:
            app.out(setting.value)
            return 0
    raise NotFound(f"No such setting: {quote(name)}")


def ls(args: Args, app: App) -> int:
    """List the settings."""
    settings = app.store.settings.list()
    form = args.text("format") or "table"
    if form == "table":
        rows = [[one.name, one.value, one.default, one.help] for one in settings]
        app.write(table(("NAME", "VALUE", "DEFAULT", "DESCRIPTION"), rows) + "\n")
        return 0
    from casstore.cli.formats import render_records
    from casstore.cli.jsontext import Struct

    records = (
        Struct(
            {
                "Default": one.default,
                "Help": one.help,
                "IsSet": one.is_set,
                "Name": one.name,
                "Value": one.value,
            }
        )
        for one in settings
    )
    app.write(render_records(form, _HEADERS, records))
    return 0


def set_(args: Args, app: App) -> int:
    """Set one."""
    app.store.settings.set(*args.positional)
    return 0


def unset(args: Args, app: App) -> int:
    """Take one back."""
    app.store.settings.unset(*args.positional)
    return 0


SUBCOMMANDS: dict[str, tuple[Command, Callable[[Args, App], int]]] = {
    "get": (GET, get),
    "ls": (LS, ls),
    "set": (SET, set_),
    "unset": (UNSET, unset),
}
