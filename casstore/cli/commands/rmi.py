"""rmi: untag and delete images."""

from __future__ import annotations

from casstore.cli.options import AS_JSON, OF_A_CHANGE, TEXT, Args, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

KEEP = Option(
    "keep",
    "How long the trash keeps what goes, as 30m, 24h or 7d; 0 for\n"
    "not at all (default: the setting trash.keep, else 0)",
    kind=TEXT,
    value="duration",
    own=True,
)

HELP = Command(
    name="rmi",
    arguments="IMAGE [IMAGE...]",
    summary="Remove one or more images",
    options=(
        Option("force", "Force removal of the image", short="f"),
        Option("no-prune", "Do not delete untagged parents"),
        Option("dry-run", "Show what would be removed, and remove nothing", own=True),
        AS_JSON._replace(own=True),
        KEEP,
        Option("glob", "IMAGE may be a pattern, as 'ci/*:pr-*'", own=True),
        Option("verbose", "Say what still holds a layer that stays", own=True),
    ),
    least=1,
    exits=(
        (0, "everything went; with -f also where an image was not there"),
        (1, "an IMAGE could not be removed; the others were"),
        *OF_A_CHANGE,
    ),
    description="""\
Removes names, then the images that have no name left, then every blob that nothing needs any more.
IMAGE is a name, a name with a digest, or an image ID or a unique prefix of one.

By name, that name goes; the image goes with its last name. By ID, the image goes with its names,
unless they are in several repositories: that needs -f. An image with children stays, -f or not.
Parents without a name are deleted with their last child, unless --no-prune.

With --keep, or the setting trash.keep, what goes is kept in the trash for so long, and casstore
restore brings it back. It frees no space then: there are no lines of layers.

Each line of the output has happened when it is printed. Every IMAGE succeeds or fails on its own;
one command is one change that lasts.""",
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Remove, print what went, and each error where it happened."""
    dry_run = args.flag("dry-run")
    result = app.store.remove(
        args.positional,
        force=args.flag("force"),
        prune=not args.flag("no-prune"),
        dry_run=dry_run,
        glob=args.flag("glob"),
        verbose=args.flag("verbose"),
        keep=keep_seconds(args),
    )
    as_json = args.text("format") == "json"
    for outcome in result.outcomes:
        for removed in outcome.lines:
            if as_json:
                app.write(_record(removed.kind, removed.text, removed.role, removed.size))
            else:
                app.out(f"{removed.kind.capitalize()}: {removed.text}")
        for kept in outcome.kept:
            if as_json:
                app.write(_object({"Kept": kept}))
            else:
                app.out(f"Kept: {kept}")
        if as_json and outcome.trash is not None and not dry_run:
            app.write(_object({"Trash": outcome.trash}))
        if outcome.error is not None:
            app.error(str(outcome.error))
    if as_json:
        app.write(_object({"Freed": result.freed}))
    app.warn(result.warnings)
    if result.exit_code == 1:
        from casstore.cli.render import log_time

        app.note(f"{log_time()} Error: failed to remove one or more images")
    if dry_run:
        from casstore.cli.render import size

        app.note(f"Would free {size(result.freed)}")
    return result.exit_code


def keep_seconds(args: Args) -> float | None:
    """What --keep says; None where it is not given. Raises WrongUsage."""
    text = args.text("keep")
    if text is None:
        return None
    from casstore.rules.settings import parse_keep

    keep = parse_keep(text)
    if keep is None:
        raise args.wrong("keep", "expected a duration such as 30m, 24h or 7d; 0 for no trash")
    return keep / 1e9


def _record(kind: str, text: str, role: str, byte_count: int) -> str:
    record: dict[str, object] = {kind.capitalize(): text}
    if kind == "deleted":
        record |= {"Role": role, "Size": byte_count}
    return _object(record)


def _object(record: dict[str, object]) -> str:
    from casstore.cli.jsontext import json_text

    return json_text(record) + "\n"
