"""gc: finish what a crash left, remove what nothing refers to, and what a policy chooses."""

from __future__ import annotations

import time

from casstore.cli.options import (
    DAMAGED,
    LIST,
    LOCKED,
    NO_STORE,
    TEXT,
    WRONG_USAGE,
    Args,
    Command,
    Option,
    WrongUsage,
)
from casstore.cli.progress import AUTO, PROGRESS, Show
from casstore.cli.render import size
from casstore.cli.signals import Signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App
    from casstore.results.upkeep import CollectionResult, GcResult, StoreFigures
    from casstore.rules.collection import CollectionPlan
    from casstore.rules.policy import Rule

NOT_REACHED = 3
NICE = "10"

# Options that are settings of a policy: the same names, the same values.
SETTINGS = (
    Option("max-used-space", "Remove until the blobs take at most this", kind=TEXT, value="size"),
    Option("min-free-space", "Remove until so much of the file system is free", kind=TEXT,
           value="size"),
    Option("reserved-space", "Never remove what would leave less than this in the store",
           kind=TEXT, value="size"),
    Option("high-water", "Start when more than this share of the file system is used", kind=TEXT,
           value="percent"),
    Option("low-water", "Having started, stop below this share (default: high-water)", kind=TEXT,
           value="percent"),
    Option("unused-for", "Only images that were not used for so long", kind=TEXT,
           value="duration"),
    Option("until", "Only images built before (a date, or so long ago)", kind=TEXT, value="time"),
    Option("keep", "Never the newest N images of a repository", kind=TEXT, value="N"),
    Option("protect", "Never an image with a name that fits", kind=LIST, value="pattern"),
    Option("only", "Only images all of whose names fit", kind=LIST, value="pattern"),
    Option("filter", "Only images that fit (e.g. 'label=<key>=<value>', 'dangling=true')",
           kind=LIST, value="filter"),
    Option("min-age", "Never an image that came or was used less than this ago (default 2m)",
           kind=TEXT, value="duration"),
)  # fmt: skip

HELP = Command(
    name="gc",
    arguments="",
    summary="Remove what nothing refers to, and what a policy chooses",
    options=(
        *SETTINGS,
        Option("dry-run", "Show what would be removed, and remove nothing"),
        Option("empty-trash", "Remove all of the trash, not only what has expired"),
        Option("format", "'json': one JSON object", kind=TEXT, choices=("json",)),
        Option("metrics", "Write figures for Prometheus' node_exporter (a .prom file)",
               kind=TEXT, value="file", completes="file"),
        Option("nice", "Lower the priority of the process by N (default 10, with a policy)",
               kind=TEXT, value="N"),
        Option("plan", "Carry out a saved plan, exactly", kind=TEXT, value="file",
               completes="file"),
        Option("policy", "Read the policy from a TOML file; options override it", kind=TEXT,
               value="file", completes="file"),
        PROGRESS,
        Option("save-plan", "Remove nothing; save the plan", kind=TEXT, value="file",
               completes="file"),
    ),
    most=0,
    exits=(
        (0, "done, and every goal of the policy is reached"),
        (1, "something could not be removed, or a saved plan does not hold any more"),
        WRONG_USAGE,
        (NOT_REACHED, "a goal of the policy cannot be reached with the images that may go"),
        NO_STORE,
        LOCKED,
        DAMAGED,
    ),
    description="""\
Removes blobs that no image holds, tables of contents whose layer is gone, temporary files that no
living process holds, expired leases, and what has expired in the trash (all of it with
--empty-trash); publishes index.json again where it is behind. Without a policy images and names
stay.

A policy removes images too. Its conditions (unused-for, until, keep, only, protect, filter,
min-age) say which may go, and all of them must hold; its goals (max-used-space, min-free-space,
high-water) how far: images go until every goal is met; without a goal all that may go do. Dangling
images go first, then the least recently used, an image with children only after these. Pinned and
leased images never go. Nothing that a policy removes goes into the trash. Sizes are bytes as
stored: 50GB (10**9), 50GiB (2**30), or 10% of the file system; durations 90s, 2h30m, 7d. With
--policy, a file may have several rules.

At its end it reads layers that were taken in with --verify digest, for up to a minute; one that is
not what its image says is told, and the status is 12.

The store is locked in short turns, so that loads and removals beside it go on. SIGTERM and SIGINT
end it after the image in hand, with its report; the status is then 143 or 130.""",
)  # fmt: skip


def run(args: Args, app: App) -> int:
    """Collect, and say what went."""
    given = {option.name: _value(args, option) for option in SETTINGS}
    given = {name: value for name, value in given.items() if value is not None}
    if given or any(args.text(name) is not None for name in ("policy", "plan", "save-plan")):
        return _run_policy(args, app, given)
    dry_run = args.flag("dry-run")
    if args.text("nice") is not None:
        _be_nice(args)
    started = time.monotonic()
    with Show(app, args.text("progress") or AUTO):
        result = app.store.gc(dry_run=dry_run, empty_trash=args.flag("empty-trash"))
    if args.text("metrics") is not None and not dry_run:
        seconds = time.monotonic() - started
        _write_metrics(args, app, app.store.figures(), freed=result.freed, seconds=seconds)
    if args.text("format") == "json":
        from casstore.cli.jsontext import json_text

        record: dict[str, object] = {
            "RemovedBlobs": result.removed_blobs,
            "RemovedFiles": result.removed_files,
            "Freed": result.freed,
            "Findings": result.findings,
            "Settled": result.settled,
            "Damaged": result.damaged,
        }
        app.write(json_text(record) + "\n")
    else:
        for finding in result.findings:
            app.out(finding)
        app.out(f"Removed blobs: {result.removed_blobs}")
        app.out(f"Removed temporary files: {result.removed_files}")
        app.out(f"Total reclaimed space: {size(result.freed)}")
    if dry_run:
        app.note(f"Would free {size(result.freed)}")
    return _tell_damage(result, app)


def _tell_damage(garbage: GcResult, app: App) -> int:
    """Layers that are not what they should be, and the status that follows."""
    from casstore.errors import Damaged

    for line in garbage.damaged:
        app.error(line)
    return Damaged.exit_code if garbage.damaged else 0


def _run_policy(args: Args, app: App, given: dict[str, object]) -> int:
    from casstore.cli.collection import json_report, text_report
    from casstore.gc.planfile import read_plan, save_plan
    from casstore.gc.policyfile import BadPolicy
    from casstore.gc.stop import Stop

    target, source = args.text("save-plan"), args.text("plan")
    dry_run = args.flag("dry-run") or target is not None
    plan: CollectionPlan | None = None
    try:
        if source is not None:
            if given or args.text("policy") is not None or target is not None:
                raise WrongUsage("a saved plan has its policy in it: give --plan alone", HELP)
            rules, plan = read_plan(source, now=app.now())
        else:
            rules = _rules(args, given, now=app.now())
    except BadPolicy as error:
        for mistake in error.mistakes:
            app.error(mistake)
        return error.exit_code
    _be_nice(args)
    stop = Stop()
    with Signals(stop) as signals, Show(app, args.text("progress") or AUTO):
        result = app.store.collect(
            rules,
            dry_run=dry_run,
            plan=plan,
            empty_trash=args.flag("empty-trash"),
            stop=stop,
        )
    status = _status(result, signals)
    if args.text("metrics") is not None and not dry_run:
        removed = sum(len(one.deleted) for one in result.removed)
        _write_metrics(
            args,
            app,
            result.after,
            freed=result.freed,
            seconds=result.duration / 1e9,
            removed=removed,
            reached=result.reached,
            success=status == 0,
        )
    if target is not None:
        save_plan(target, rules, result.plan)
    if args.text("format") == "json":
        app.write(json_report(result, dry_run=dry_run) + "\n")
    else:
        app.write(text_report(result, dry_run=dry_run))
    app.warn(result.warnings)
    if dry_run:
        app.note(f"Would free {size(result.freed)}")
    _complain(result, app)
    return _tell_damage(result.garbage, app) or status


def _status(result: CollectionResult, signals: Signals) -> int:
    from casstore.errors import Locked

    ended = {"locked": Locked.exit_code, "outdated": 1, "stopped": signals.status}
    return ended.get(result.ended, 0 if result.reached else NOT_REACHED)


def _complain(result: CollectionResult, app: App) -> None:
    if result.ended == "locked":
        app.error("the store stayed locked by another process")
    elif result.ended == "outdated":
        app.error("the plan does not hold any more; the rest of it was not carried out")
    elif result.ended == "stopped":
        app.note("Stopped before the end of the plan")
    else:
        used = size(result.after.used)
        for aim in result.aims:
            if not aim.reached:
                goal = aim.goal
                app.error(f"{goal.setting} {goal.wanted} is not reached: {used} are stored")


def _write_metrics(
    args: Args,
    app: App,
    figures: StoreFigures,
    *,
    freed: int,
    seconds: float,
    removed: int = 0,
    reached: bool = True,
    success: bool = True,
) -> None:
    from casstore.gc.metrics import Run, write_metrics

    write_metrics(
        args.text("metrics") or "",
        Run(app.store.path, figures, freed, removed, reached, success, seconds, app.now() / 1e9),
    )


def _value(args: Args, option: Option) -> object:
    return list(args.texts(option.name)) or None if option.kind == LIST else args.text(option.name)


def _rules(args: Args, given: dict[str, object], *, now: int) -> tuple[Rule, ...]:
    from casstore.gc.policyfile import policy_from_file
    from casstore.rules.policy import BadSetting, parse_rule

    path = args.text("policy")
    if path is not None:
        return policy_from_file(path, given, now=now)
    try:
        return (parse_rule(given, now=now),)
    except BadSetting as error:
        if error.setting:
            raise args.wrong(error.setting, error.reason) from None
        raise WrongUsage(error.reason, HELP) from None


def _be_nice(args: Args) -> None:
    import os

    text = args.text("nice") or NICE
    if not (text.isascii() and text.isdigit() and int(text[:9]) <= 19):
        raise args.wrong("nice", "a number from 0 to 19 is needed")
    try:
        os.nice(int(text))
    except OSError:
        pass  # nice already
