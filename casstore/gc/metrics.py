"""What a gc leaves for Prometheus: node_exporter's textfile collector reads it.

The file is replaced in one step, so that a scrape never sees half of it. A run that does not
succeed keeps the time of the last one that did: that age is what an alert should look at.
"""

from __future__ import annotations

import os

from casstore.errors import quote
from casstore.files import durable
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.results.upkeep import StoreFigures

MAX_FILE = 1 << 20
_SUCCESS = "casstore_gc_last_success_timestamp_seconds"


class Run(Value):
    """One run of gc, in numbers."""

    store: str  # its directory
    figures: StoreFigures  # afterwards
    freed: int  # bytes
    removed: int  # images
    reached: bool  # every goal of the policy; True without one
    success: bool
    duration: float  # seconds
    now: float  # seconds since 1970


def write_metrics(path: str, run: Run) -> None:
    """Write the file. Raises StorageError."""
    success = run.now if run.success else _last_success(path, run.store)
    samples: list[tuple[str, str, float | None]] = [
        ("casstore_store_bytes", "Bytes of all blobs, as stored.", run.figures.used),
        ("casstore_store_blobs", "Blobs in the store.", run.figures.blobs),
        ("casstore_store_images", "Images in the store.", run.figures.images),
        ("casstore_store_references", "References in the store.", run.figures.references),
        ("casstore_store_dangling_images", "Images without a tag and without a child.",
         run.figures.dangling),
        ("casstore_store_filesystem_free_bytes", "Bytes free on the store's file system.",
         run.figures.disk_free),
        ("casstore_gc_freed_bytes", "Bytes that the last gc freed.", run.freed),
        ("casstore_gc_removed_images", "Images that the last gc removed.", run.removed),
        ("casstore_gc_goals_reached", "Whether the last gc reached its goals.", run.reached),
        ("casstore_gc_duration_seconds", "How long the last gc took.", run.duration),
        ("casstore_gc_last_run_timestamp_seconds", "When the last gc ended.", run.now),
        (_SUCCESS, "When a gc last succeeded.", success),
    ]  # fmt: skip
    label = _label(run.store)
    lines = [
        f"# HELP {name} {text}\n# TYPE {name} gauge\n{name}{label} {_number(value)}\n"
        for name, text, value in samples
        if value is not None
    ]
    try:
        # not *.prom, so that the collector does not read it
        with durable.replace_file(path, f"{path}.part") as new:
            new.file.write("".join(lines).encode())
    except OSError as error:
        raise durable.storage_error(error, f"cannot write {quote(path)}") from None


def _label(store: str) -> str:
    # Prometheus text format: backslash, double quote and line feed are escaped in a label, nothing
    # else, and all is UTF-8: other bytes of a path become U+FFFD
    text = os.fsencode(store).decode("utf-8", "replace")
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{{store="{text}"}}'


def _number(value: float) -> str:
    return str(int(value)) if isinstance(value, int) else f"{value:.3f}"


def _last_success(path: str, store: str) -> float | None:
    try:
        with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
            text = file.read(MAX_FILE)
    except OSError:
        return None
    start = f"{_SUCCESS}{_label(store)} "
    for line in text.split("\n"):
        if line.startswith(start):
            try:
                return float(line[len(start) :])
            except ValueError:
                return None
    return None
