"""What gc with a policy did, as text and as one JSON object."""

from __future__ import annotations

from casstore.cli.jsontext import json_text
from casstore.cli.render import NONE, size, table
from casstore.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.model.reference import Reference
    from casstore.results.upkeep import CollectionResult, StoreFigures

_HEAD = ("IMAGE ID", "NAMES", "FREES", "WHY")


def text_report(result: CollectionResult, *, dry_run: bool) -> str:
    """What goes, in order, and how far that leads; of a dry run also what stays."""
    lines = list(result.garbage.findings)
    if result.removed:
        rows = [
            (one.step.image.short, _names(one.step.names), size(one.freed), one.step.why)
            for one in result.removed
        ]
        lines += [table(_HEAD, rows), ""]
    if result.kept and dry_run:
        kept = [(one.image.short, _names(one.names), one.why) for one in result.kept]
        lines += ["Kept:", table(("IMAGE ID", "NAMES", "WHY"), kept), ""]
    lines.append(f"Removed images: {sum(len(one.deleted) for one in result.removed)}")
    lines.append(f"Kept images: {len(result.kept)}")
    lines.append(f"Stored: {size(result.before.used)}, now {size(result.after.used)}")
    lines.append(f"Total reclaimed space: {size(result.freed)}")
    return "".join(f"{line}\n" for line in lines)


def json_report(result: CollectionResult, *, dry_run: bool) -> str:
    """The whole result; sizes in bytes, times in nanoseconds since 1970, duration in seconds."""
    return json_text(
        {
            "policy": list(result.policy),
            "dryRun": dry_run,
            "before": _figures(result.before),
            "after": _figures(result.after),
            "freed": result.freed,
            "removed": [
                {
                    "image": one.step.image,
                    "names": [name.familiar for name in one.step.names],
                    "deleted": list(one.deleted),
                    "freed": one.freed,
                    "rule": one.step.rule,
                    "why": one.step.why,
                    "lastUsed": one.step.last_used,
                }
                for one in result.removed
            ],
            "kept": [
                {
                    "image": one.image,
                    "names": [name.familiar for name in one.names],
                    "reason": one.code,
                    "why": one.why,
                }
                for one in result.kept
            ],
            "goals": [
                {
                    "rule": aim.rule,
                    "setting": aim.goal.setting,
                    "wanted": aim.goal.wanted,
                    "most": aim.goal.most,
                    "reached": aim.reached,
                }
                for aim in result.aims
            ],
            "garbage": {
                "removedBlobs": result.garbage.removed_blobs,
                "removedFiles": result.garbage.removed_files,
                "freed": result.garbage.freed,
                "findings": list(result.garbage.findings),
                "settled": result.garbage.settled,
                "damaged": list(result.garbage.damaged),
            },
            "ended": result.ended,
            "reached": result.reached,
            "turns": result.turns,
            "longestTurn": result.longest_turn / 1e9,
            "duration": result.duration / 1e9,
            "warnings": list(result.warnings),
        }
    )


def _names(names: Sequence[Reference]) -> str:
    shown = [printable(name.familiar) for name in names[:2]]
    more = [f"+{len(names) - 2}"] if len(names) > 2 else []
    return ", ".join(shown + more) or NONE


def _figures(figures: StoreFigures) -> dict[str, object]:
    return {
        "used": figures.used,
        "blobs": figures.blobs,
        "images": figures.images,
        "references": figures.references,
        "dangling": figures.dangling,
        "diskTotal": figures.disk_total,
        "diskFree": figures.disk_free,
    }
