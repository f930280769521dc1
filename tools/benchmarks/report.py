"""The figures as a table for people, in Markdown, and as JSON for programs."""

from __future__ import annotations

import json
import math
import os
import platform
import sqlite3
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.measure import Row
from benchmarks.targets import verdicts


def machine(folder: Path) -> dict[str, str]:
    """What the figures were taken on."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    kind = _file_system(folder)
    return {
        "processors": f"{os.cpu_count()} x {model or platform.machine()}",
        "memory": f"{pages / 1e9:.0f} GB",
        "system": f"Linux {platform.release()}, {kind}",
        "python": f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}",
    }


def _file_system(folder: Path) -> str:
    best, kind = "", "unknown file system"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, name, *_ = line.split()
        if str(folder.resolve()).startswith(point) and len(point) >= len(best):
            best, kind = point, name
    return kind


def _time(seconds: float) -> str:
    if seconds == 0:
        return ""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _figure(median: float, spread: tuple[float, float] | None) -> str:
    """A median, with the least and the most of the runs where they differ from it."""
    text = _time(median)
    if not text or spread is None or spread == (median, median):
        return text
    least, most = spread
    if median < 1:
        return f"{text} ({least * 1000:.1f} to {most * 1000:.1f})"
    return f"{text} ({least:.2f} to {most:.2f})"


def table(rows: Sequence[Row], facts: Mapping[str, str], versions: Sequence[str]) -> str:
    """Markdown: the machine, the rows, and the targets."""
    lines = [f"{key}: {value}  " for key, value in facts.items()]
    lines += ["versions: " + "; ".join(versions), ""]
    lines += ["| workload | | runs | wall | cpu | memory | casstore / it | |",
              "|---|---|---:|---:|---:|---:|---:|---|"]  # fmt: skip
    own = {row.workload: row for row in rows if row.contender == "casstore"}
    last = ""
    for row in rows:
        mine = own.get(row.workload)
        ratio = ""
        if mine is not None and mine is not row and row.wall:
            ratio = f"{mine.wall / row.wall:.3f} wall"
            if row.cpu:
                ratio += f", {mine.cpu / row.cpu:.3f} cpu"
        memory = f"{row.memory / 2**20:.0f} MiB" if row.memory else ""
        title = row.workload if row.workload != last else ""
        last = row.workload
        lines.append(
            f"| {title} | {row.contender} | {row.runs} | {_figure(row.wall, row.wall_range)}"
            f" | {_figure(row.cpu, row.cpu_range)}"
            f" | {memory} | {ratio} | {row.note} |"
        )
    lines += growth(rows)
    found = list(verdicts(rows))
    if found:
        lines += ["", "| target | of | seen | |", "|---|---|---:|---|"]
        lines += [
            f"| {verdict.workload} | {verdict.target} | {verdict.ratio:.3f} |"
            f" {'met' if verdict.met else 'missed'} |"
            for verdict in found
        ]
    return "\n".join(lines)


def line(row: Row) -> str:
    """One row as soon as it is there, for who waits."""
    memory = f", {row.memory / 2**20:.0f} MiB" if row.memory else ""
    return f"  {row.workload}, {row.contender}: {_time(row.wall)}, cpu {_time(row.cpu)}{memory}"


def growth(rows: Sequence[Row]) -> list[str]:
    """How casstore's figures grow with the store: one line a command, and the log-log slope.

    A slope of 0 is flat, 1 is proportional to the number of images.
    """
    seen: dict[str, dict[int, Row]] = {}
    for row in rows:
        size, found, verb = row.workload.partition(" images: ")
        if found and row.contender == "casstore":
            seen.setdefault(verb, {})[int(size)] = row
    sizes = sorted({size for taken in seen.values() for size in taken})
    if len(sizes) < 2:
        return []
    lines = ["", "| cpu with so many images | " + " | ".join(map(str, sizes)) + " | slope |",
             "|---|" + "---:|" * (len(sizes) + 1)]  # fmt: skip
    for verb, taken in seen.items():
        cells = [_time(taken[size].cpu) if size in taken else "" for size in sizes]
        points = [(math.log(size), math.log(row.cpu)) for size, row in taken.items() if row.cpu]
        slope = ""
        if len(points) > 1:
            slope = f"{statistics.linear_regression(*zip(*points, strict=True)).slope:.2f}"
        lines.append(f"| {verb} | " + " | ".join(cells) + f" | {slope} |")
    memory = [(verb, taken[sizes[-1]].memory) for verb, taken in seen.items() if sizes[-1] in taken]
    lines += ["", f"| memory with {sizes[-1]} images | |", "|---|---:|"]
    lines += [f"| {verb} | {size / 2**20:.0f} MiB |" for verb, size in memory if size]
    return lines


def as_json(rows: Sequence[Row], facts: Mapping[str, str], versions: Sequence[str]) -> str:
    """All of it for programs."""
    return json.dumps(
        {
            "machine": dict(facts),
            "versions": list(versions),
            "rows": [row.as_dict() for row in rows],
            "targets": [asdict(verdict) for verdict in verdicts(rows)],
        },
        indent=2,
    )
