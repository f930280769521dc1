"""The file for Prometheus: its form, its one step, and what a failed run leaves in it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from casstore.errors import StorageError
from casstore.gc.metrics import Run, write_metrics
from casstore.results.upkeep import StoreFigures

FIGURES = StoreFigures(1000, 30, 10, 12, 2, 10**12, 10**11)
RUN = Run(
    store="/var/lib/store",
    figures=FIGURES,
    freed=77,
    removed=3,
    reached=True,
    success=True,
    duration=1.25,
    now=1_800_000_000.5,
)

# Exposition format: a comment, or a name, labels and a number.
SAMPLE = re.compile(r'[a-z_]+\{store="(?:[^"\\\n]|\\["\\n])*"\} [0-9.]+')


def samples(path: Path) -> dict[str, str]:
    found = {}
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            assert SAMPLE.fullmatch(line), line
            name, _, rest = line.partition("{")
            found[name] = rest.rpartition(" ")[2]
    return found


def test_every_figure_is_there(tmp_path: Path) -> None:
    path = tmp_path / "casstore.prom"
    write_metrics(str(path), RUN)

    assert samples(path) == {
        "casstore_store_bytes": "1000",
        "casstore_store_blobs": "30",
        "casstore_store_images": "10",
        "casstore_store_references": "12",
        "casstore_store_dangling_images": "2",
        "casstore_store_filesystem_free_bytes": "100000000000",
        "casstore_gc_freed_bytes": "77",
        "casstore_gc_removed_images": "3",
        "casstore_gc_goals_reached": "1",
        "casstore_gc_duration_seconds": "1.250",
        "casstore_gc_last_run_timestamp_seconds": "1800000000.500",
        "casstore_gc_last_success_timestamp_seconds": "1800000000.500",
    }
    assert os.listdir(tmp_path) == ["casstore.prom"]


def test_each_sample_has_its_help_and_type_before_it(tmp_path: Path) -> None:
    path = tmp_path / "casstore.prom"
    write_metrics(str(path), RUN)
    lines = path.read_text().splitlines()

    for at in range(0, len(lines), 3):
        name = lines[at + 2].partition("{")[0]
        assert lines[at].startswith(f"# HELP {name} ")
        assert lines[at + 1] == f"# TYPE {name} gauge"


def test_a_run_that_fails_keeps_the_time_of_the_last_that_succeeded(tmp_path: Path) -> None:
    path = tmp_path / "casstore.prom"
    write_metrics(str(path), RUN)
    write_metrics(str(path), RUN._replace(success=False, now=1_900_000_000.0))

    assert samples(path)["casstore_gc_last_success_timestamp_seconds"] == "1800000000.500"
    assert samples(path)["casstore_gc_last_run_timestamp_seconds"] == "1900000000.000"


def test_where_none_has_succeeded_no_time_is_made_up(tmp_path: Path) -> None:
    path = tmp_path / "casstore.prom"
    path.write_text("junk\ncasstore_gc_last_success_timestamp_seconds x\n")
    write_metrics(str(path), RUN._replace(success=False))

    assert "casstore_gc_last_success_timestamp_seconds" not in samples(path)


def test_a_store_with_an_odd_name_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "casstore.prom"
    write_metrics(str(path), RUN._replace(store='/a"b\\c\nd'))

    assert '{store="/a\\"b\\\\c\\nd"}' in path.read_text()
    samples(path)


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file or directory"):
        write_metrics(str(tmp_path / "gone" / "casstore.prom"), RUN)


@pytest.mark.parametrize(
    "name", [b"\xff", b"a\\b", b'a"b', b"a\nb", b"\xc2\x85", b"a\rb", b"\xe2\x80\xa8"]
)
def test_any_path_of_a_store_has_a_label_that_prometheus_reads(name: bytes, tmp_path: Path) -> None:
    path = tmp_path / "casstore.prom"
    run = RUN._replace(store=os.fsdecode(b"/srv/" + name))
    write_metrics(str(path), run)
    write_metrics(str(path), run._replace(success=False, now=1_900_000_000.0))

    lines = [line for line in path.read_bytes().decode().split("\n") if line[:1] not in ("", "#")]
    assert all(SAMPLE.fullmatch(line) for line in lines)
    assert any(line.startswith("casstore_gc_last_success") for line in lines)
    assert lines[-1].endswith(" 1800000000.500")
