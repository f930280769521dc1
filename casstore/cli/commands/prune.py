"""prune: remove images that nobody names, or that nobody uses."""

from __future__ import annotations

from casstore.cli.commands.images import checked_filters
from casstore.cli.commands.rmi import KEEP, keep_seconds
from casstore.cli.options import AS_JSON, LIST, OF_A_CHANGE, Args, Command, Option
from casstore.cli.progress import AUTO, PROGRESS, Show
from casstore.cli.render import size
from casstore.cli.signals import Signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App
    from casstore.model.removal import PruneResult

FILTER = Option(
    "filter",
    "Provide filter values (e.g. 'until=<timestamp>')",
    kind=LIST,
    value="filter",
)

HELP = Command(
    name="prune",
    arguments="",
    summary="Remove unused images",
    options=(
        Option("all", "Remove all unused images, not just dangling ones", short="a"),
        FILTER,
        Option("force", "Do not prompt for confirmation", short="f"),
        Option("dry-run", "Show what would be removed, and remove nothing; never asks", own=True),
        AS_JSON._replace(own=True),
        KEEP,
        PROGRESS,
    ),
    most=0,
    exits=(
        (0, "done, also where there was nothing to do or the answer was no"),
        (1, "a filter is wrong"),
        *OF_A_CHANGE,
    ),
    description="""\
Removes dangling images (no tag, no child) and their parents that have no name either; with -a
every image that no lease holds. Conflicts are passed over in silence.

Filters: until=TIME (created then or before: 2006-01-02, 2006-01-02T15:04:05Z, seconds since 1970,
or 10m, 1h30m ago), label=KEY[=VALUE], label!=KEY[=VALUE].

Which images go is decided at the beginning. They go in short turns, each a durable change of its
own, and other commands can change the store in between: an image that is named, leased or built on
meanwhile stays. SIGTERM and SIGINT end it after the image in hand, with its report.

With --keep, or the setting trash.keep, what goes is kept in the trash for so long, each image an
entry, and frees no space until then.""",
)

WARNING = "WARNING! This will remove {}.\nAre you sure you want to continue? [y/N] "
DANGLING = "all dangling images"
UNUSED = "all images without at least one lease on them"


def run(args: Args, app: App) -> int:
    """Ask, unless told not to; prune; say what went and how much that was."""
    from casstore.gc.stop import Stop

    filters, keep = checked_filters(args, FILTER), keep_seconds(args)
    everything, dry_run = args.flag("all"), args.flag("dry-run")
    as_json = args.text("format") == "json"
    sure = args.flag("force") or dry_run
    if not sure and not app.ask(WARNING.format(UNUSED if everything else DANGLING)):
        if not as_json:
            app.out(f"Total reclaimed space: {size(0)}")
        return 0
    stop = Stop()
    with Signals(stop) as signals, Show(app, args.text("progress") or AUTO):
        result = app.store.prune(
            all=everything, filters=filters, dry_run=dry_run, keep=keep, stop=stop
        )
    if as_json:
        _write_json(result, app)
    else:
        if result.removed:
            app.out("Deleted Images:")
            for removed in result.removed:
                app.out(f"{removed.kind}: {removed.text}")
            app.out("")
        app.out(f"Total reclaimed space: {size(result.reclaimed)}")
    app.warn(result.warnings)
    if dry_run:
        app.note(f"Would free {size(result.freed)}")
    elif result.turns > 1:
        app.note(f"Removed in {result.turns} turns, each a change of its own")
    return _status(result, app, signals)


def _status(result: PruneResult, app: App, signals: Signals) -> int:
    if result.error is not None:
        app.error(f"{result.error}; what is listed above was removed before")
        return result.error.exit_code
    if result.stopped:
        app.note("Stopped before the end")
        return signals.status
    return 0


def _write_json(result: PruneResult, app: App) -> None:
    from casstore.cli.jsontext import json_text

    for removed in result.removed:
        app.write(json_text({removed.kind.capitalize(): removed.text}) + "\n")
    totals: dict[str, object] = {"SpaceReclaimed": result.reclaimed, "Freed": result.freed}
    if result.turns > 1:
        totals["Turns"] = result.turns
    app.write(json_text(totals) + "\n")
