"""diff: how the files of two images differ."""

from __future__ import annotations

from casstore.cli.commands.ls import LOOK_EXITS, PLATFORM
from casstore.cli.filerows import FileRow, shown_name, shown_path
from casstore.cli.jsontext import Struct, json_text
from casstore.cli.options import AS_JSON, Args, Command, Option
from casstore.cli.progress import AUTO, PROGRESS, Show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App
    from casstore.results.files import FileChange, ImageFile

DIFFERENT = 3
HELP = Command(
    name="diff",
    arguments="A B",
    summary="Show how the files of two images differ",
    options=(
        Option(
            "exit-code", f"End with status {DIFFERENT} where they differ, as `git diff` ends with 1"
        ),
        AS_JSON,
        PLATFORM,
        PROGRESS,
        Option("times", "Count files too that differ in their time alone"),
    ),
    least=2,
    most=2,
    exits=(
        (0, "the differences are printed, if there are any"),
        (1, "no such image, or it cannot be read"),
        (DIFFERENT, "with --exit-code: there are differences"),
        *LOOK_EXITS,
    ),
    description="""\
A and B are images, or digests of layers. One line for each path, as `docker diff` has it: A for one
that only B has, D for one that only A has, C for one that has changed, with what has changed:

    A /usr/bin/new
    C /etc/passwd (size 940 -> 962, content)
    C /usr/bin/sudo (mode 0755 -> 4755)

With --format json one object a line: Path, Change (added, removed, changed), What (content, device,
kind, mode, mtime, owner, size, target, xattrs), Before and After (as `ls --format json`).""",
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Compare."""
    before, after = args.positional
    with Show(app, args.text("progress") or AUTO):
        changes = app.store.diff(
            before, after, platform=args.text("platform"), times=args.flag("times")
        )
    written = _json_line if args.text("format") == "json" else _line
    differ = False
    for change in changes:
        app.write(written(change) + "\n")
        differ = True
    return DIFFERENT if differ and args.flag("exit-code") else 0


def _line(change: FileChange) -> str:
    file = change.after or change.before
    assert file is not None
    letter = {"added": "A", "removed": "D", "changed": "C"}[change.change]
    line = f"{letter} {shown_path(file.name)}"
    if change.before is None or change.after is None:
        return line
    old, new = change.before, change.after
    return f"{line} ({', '.join(_told(word, old, new) for word in change.what)})"


def _told(word: str, old: ImageFile, new: ImageFile) -> str:
    match word:
        case "kind":
            return f"{old.kind} -> {new.kind}"
        case "mode":
            return f"mode {old.mode:04o} -> {new.mode:04o}"
        case "owner":
            return f"owner {old.uid}:{old.gid} -> {new.uid}:{new.gid}"
        case "size":
            return f"size {old.size} -> {new.size}"
        case "target":
            return f"target {shown_name(old.raw_target)} -> {shown_name(new.raw_target)}"
    return word


def _json_line(change: FileChange) -> str:
    file = change.after or change.before
    assert file is not None
    row = FileRow(file)
    raw = row.field("RawPath")
    return json_text(
        Struct(
            {
                "Path": row.field("Path"),
                **({"RawPath": raw} if raw else {}),
                "Change": change.change,
                "What": list(change.what),
                "Before": FileRow(change.before) if change.before is not None else None,
                "After": FileRow(change.after) if change.after is not None else None,
            }
        )
    )
