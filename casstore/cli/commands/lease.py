"""lease: hold images against removal, while a command runs or for a time."""

from __future__ import annotations

from casstore.cli.options import (
    DAMAGED,
    LOCKED,
    NO_STORE,
    NO_TRUNC,
    OF_A_CHANGE,
    OF_A_LOOK,
    TEXT,
    WRONG_USAGE,
    Args,
    Command,
    Option,
    WrongUsage,
)
from casstore.cli.render import SECOND, rfc3339, span, table
from casstore.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from casstore.cli.app import App
    from casstore.results.leases import LeaseInfo

HELP = Command(
    name="lease",
    arguments="COMMAND",
    summary="Manage leases, which hold images against removal",
    least=1,
    in_order=True,
    description="""\
A hard lease is held by a running process: not even rmi -f removes its image. A soft lease has a
name and an end: rmi -f removes the image, prune does not. They stand where Docker has running and
stopped containers.""",
)

ADD = Command(
    name="lease add",
    arguments="NAME IMAGE",
    summary="Hold an image by a soft lease",
    options=(
        Option(
            "ttl",
            "How long, as 90s, 10m, 1h30m or 7d; 'none' for no end (default 24h)",
            kind=TEXT,
            value="duration",
            default="24h",
        ),
    ),
    least=2,
    most=2,
    exits=(
        (0, "the image is held"),
        (1, "no such image, or the name cannot be used"),
        *OF_A_CHANGE,
    ),
    completes="image",
)

LS = Command(
    name="lease ls",
    arguments="",
    summary="List leases",
    options=(
        Option(
            "format",
            "'table', 'json' (one object a line), or a Go template with the fields\n"
            ".Expires .ExpiresAt .Holder .ID .Kind .Name",
            kind=TEXT,
        ),
        NO_TRUNC,
        Option("quiet", "Only show names", short="q"),
    ),
    most=0,
    exits=(
        (0, "also where there is none"),
        (1, "a template is wrong"),
        *OF_A_LOOK,
    ),
)

RM = Command(
    name="lease rm",
    arguments="NAME [NAME...]",
    summary="Remove one or more soft leases",
    least=1,
    exits=(
        (0, "they are gone"),
        (1, "there is no such lease; all of them stay"),
        *OF_A_CHANGE,
    ),
    completes="lease",
)

RUN = Command(
    name="lease run",
    arguments="IMAGE [IMAGE...] -- COMMAND [ARG...]",
    summary="Hold images by hard leases while a command runs",
    least=1,
    exits=(
        (1, "an image could not be held; the command did not run"),
        WRONG_USAGE,
        NO_STORE,
        LOCKED,
        DAMAGED,
        (126, "the command cannot be run"),
        (127, "there is no such command"),
    ),
    description="""\
Ends with the status of the command; 128 + N where signal N ended it. The leases hold until the
command has ended, also where casstore is killed before it.""",
    completes="image",
    splits=True,
)


def add(args: Args, app: App) -> int:
    """Take a soft lease."""
    name, image = args.positional
    app.store.leases.add(name, image, _duration(args))
    return 0


def ls(args: Args, app: App) -> int:
    """List the leases."""
    leases = app.store.leases.list()
    form = args.text("format") or "table"
    full, now = args.flag("no-trunc"), app.now()
    if form not in ("table", "json") or (form == "json" and not args.flag("quiet")):
        from casstore.cli.formats import render_records
        from casstore.cli.jsontext import Struct

        headers = {
            "Expires": "EXPIRES",
            "ExpiresAt": "EXPIRES AT",
            "Holder": "HOLDER",
            "ID": "IMAGE ID",
            "Kind": "KIND",
            "Name": "NAME",
        }
        records = (Struct(_record(lease, now=now, full=full)) for lease in leases)
        app.write(render_records(form, headers, records))
    elif args.flag("quiet"):
        for lease in leases:
            app.out(lease.name)
    else:
        keys = ("Name", "ID", "Kind", "Expires", "Holder")
        rows = [
            [printable(str(_record(lease, now=now, full=full)[key])) for key in keys]
            for lease in leases
        ]
        app.write(table(("NAME", "IMAGE ID", "KIND", "EXPIRES", "HOLDER"), rows) + "\n")
    return 0


def rm(args: Args, app: App) -> int:
    """Remove soft leases."""
    app.store.leases.remove(*args.positional)
    return 0


def run(args: Args, app: App) -> int:
    """Run a command under hard leases and return its status."""
    if not args.rest:
        raise WrongUsage(f"'{RUN.called}' requires '--' and a command", RUN, show_usage=True)
    with app.store.leases.hold(*args.positional) as lease:
        from casstore.cli.child import run_to_end

        return run_to_end(args.rest, keep=() if lease.descriptor is None else (lease.descriptor,))


SUBCOMMANDS: dict[str, tuple[Command, Callable[[Args, App], int]]] = {
    "add": (ADD, add),
    "ls": (LS, ls),
    "rm": (RM, rm),
    "run": (RUN, run),
}


def _duration(args: Args) -> float | None:
    from casstore.model.amount import SECOND, parse_duration

    text = args.text("ttl") or ""
    if text == "none":
        return None
    length = parse_duration(text)
    if not length:
        raise args.wrong("ttl", "expected a duration such as 90s, 10m, 1h30m or 7d")
    return length / SECOND


def _record(lease: LeaseInfo, *, now: int, full: bool) -> dict[str, object]:
    return {
        "Expires": _expires(lease.expires, now),
        "ExpiresAt": "" if lease.expires is None else rfc3339(lease.expires),
        "Holder": lease.holder,
        "ID": lease.image.hex if full else lease.image.short,
        "Kind": lease.kind,
        "Name": lease.name,
    }


def _expires(moment: int | None, now: int) -> str:
    if moment is None:
        return "never"
    return "expired" if moment <= now else "in " + span((moment - now) / SECOND).lower()
