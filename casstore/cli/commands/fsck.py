"""fsck: is the store what it says it is?"""

from __future__ import annotations

from casstore.cli.options import (
    AS_JSON,
    LIST,
    LOCKED,
    NO_STORE,
    WRONG_USAGE,
    Args,
    Command,
    Option,
)
from casstore.cli.progress import AUTO, PROGRESS, Show
from casstore.errors import CasstoreError, Damaged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

HELP = Command(
    name="fsck",
    arguments="",
    summary="Check the store, and repair it",
    options=(
        AS_JSON,
        PROGRESS,
        Option("quick", "Do not read the blobs: names, sizes and counts only"),
        Option("rebuild", "Make casstore.db again from index.json and the blobs"),
        Option("repair", "Mend what can be mended without losing a last copy"),
        Option(
            "repair-from",
            "Put back missing and corrupt blobs from an archive, a layout or a store\n"
            "(may be repeated)",
            kind=LIST,
            value="path",
            completes="file",
        ),
    ),
    most=0,
    exits=(
        (0, "the store is clean (there may be notes)"),
        (1, "the store, or a part of it, could not be read; nothing that could is wrong"),
        WRONG_USAGE,
        NO_STORE,
        LOCKED,
        (Damaged.exit_code, "there are problems"),
    ),
    description="""\
Recounts every reference count and hashes every blob. One line for each finding:

LEVEL CODE OBJECT: TEXT

With --repair first a line "repaired: TEXT" for each repair made; what follows is what is left.
It makes a damaged casstore.db again, moves corrupt blobs aside, and gives the owner of the store
the rights back that a change needs.
--repair-from takes the bytes from whatever load reads, an archive or a directory, or from another
store, and puts in place only what has the digest that is wanted.

LEVEL is error, warn or note; notes (an unreferenced blob, a temporary file left behind, an expired
lease) are nothing to worry about, gc takes them. Without --repair and --rebuild it only reads, and
notes what layers are that were taken in with --verify digest: it reads them too, if nothing else is
wrong.""",
)


def run(args: Args, app: App) -> int:
    """Check, print every finding; 12 where one is more than a note, or than not to be read."""
    with Show(app, args.text("progress") or AUTO):
        result = app.store.check(
            repair=args.flag("repair"),
            repair_from=args.texts("repair-from"),
            rebuild=args.flag("rebuild"),
            content=not args.flag("quick"),
        )
    as_json = args.text("format") == "json"
    for text in result.repaired:
        _print(app, f"repaired: {text}", {"Repaired": text} if as_json else None)
    for level, code, thing, text in result.findings:
        record: dict[str, object] = {"Level": level, "Code": code, "Object": thing, "Text": text}
        _print(app, f"{level} {code} {thing}: {text}", record if as_json else None)
    if result.clean:
        return 0
    return Damaged.exit_code if result.damaged else CasstoreError.exit_code


def _print(app: App, line: str, record: dict[str, object] | None) -> None:
    if record is None:
        app.out(line)
        return
    from casstore.cli.jsontext import json_text

    app.write(json_text(record) + "\n")
