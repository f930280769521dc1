"""restore: bring back what was removed, from the trash."""

from __future__ import annotations

from casstore.cli.options import OF_A_CHANGE, TEXT, Args, Command, Option, WrongUsage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

HELP = Command(
    name="restore",
    arguments="ENTRY [ENTRY...]",
    summary="Bring back removed images and names from the trash",
    options=(
        Option(
            "as",
            "Give the image this name, and none of those that it had",
            kind=TEXT,
            value="name",
        ),
    ),
    least=1,
    exits=(
        (0, "all of it is back"),
        (1, "not in the trash, or a name belongs to another image now; nothing has changed"),
        *OF_A_CHANGE,
    ),
    description="""\
ENTRY is the number of an entry (casstore trash ls), or a name or image ID in it, which means the
newest that has it. An entry comes back as a whole: its image, the parents that went with it, and
the names that went, after the names that the image has by now. Where the image is there again, the
names are added. Leases do not come back.

All that is named is restored, or nothing.""",
)


def run(args: Args, app: App) -> int:
    """Restore, and print what came back: images first, then names."""
    name = args.text("as")
    if name is not None and len(args.positional) != 1:
        raise WrongUsage("--as needs exactly one ENTRY", HELP)
    result = app.store.trash.restore(*args.positional, name=name)
    for image in result.images:
        app.out(f"Restored: {image.hex}")
    for reference in result.names:
        app.out(f"Tagged: {reference.familiar}")
    app.warn(result.warnings)
    return 0
