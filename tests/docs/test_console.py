"""What the documents show is what casstore prints: their console sessions, run."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

import pytest

from tests.docs.console import Comparison, Session, environment, run, sessions
from tests.registry.servers import RealRegistry

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "fixtures" / "images"
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
SESSIONS = [
    pytest.param(path, session, id=f"{path.stem}: {session.name}")
    for path in DOCUMENTS
    for session in sessions(path)
]
SERVER = "casstore-serve"  # what a session needs that speaks to `casstore serve`
SHOWN = "localhost:5000"  # the registry, as the documents have it


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RealRegistry]:
    server = RealRegistry(tmp_path / "registry")
    yield server
    server.stop()


@pytest.fixture
def served(folder: Path) -> Iterator[str]:
    """`casstore serve` over the store of the session: its host and port."""
    words = ["casstore", "serve", "--registry", "0"]
    own = environment(folder, folder.parent / "bin")
    with (
        (folder.parent / "log").open("wb") as log,
        subprocess.Popen(words, env=own, cwd=folder, stderr=log, stdout=log) as process,
    ):
        said = ""
        for _ in range(1000):
            said = (folder.parent / "log").read_text()
            if said.endswith("/\n") or process.poll() is not None:
                break
            time.sleep(0.02)
        yield "localhost:" + said.rstrip("/\n").rpartition(":")[2]
        process.terminate()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A home with the archives that the sessions load, and a casstore beside it."""
    home = tmp_path / "home"
    home.mkdir()
    for archive in [*(IMAGES / "docker-save").iterdir(), IMAGES / "edited" / "layer-changed.tar"]:
        shutil.copy(archive, home)
    shutil.copytree(IMAGES / "podman" / "index-oci", home / "index-oci")
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "casstore"
    casstore = f"PYTHONPATH={quote(str(ROOT))} exec {quote(sys.executable)} -m casstore"
    program.write_text(f'#!/bin/sh\n{casstore} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return home


@pytest.mark.parametrize(("path", "session"), SESSIONS)
def test_a_session_prints_what_the_document_shows(
    path: Path, session: Session, folder: Path, request: pytest.FixtureRequest
) -> None:
    for program in session.needs:
        if program != SERVER and shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    host = SHOWN
    if "docker-registry" in session.needs:
        server: RealRegistry = request.getfixturevalue("registry")
        host = server.host
    if SERVER in session.needs:
        host = request.getfixturevalue("served")
    surroundings = environment(folder, folder.parent / "bin")
    comparison = Comparison()

    for step in session.steps:
        command = comparison.translated(step.command).replace(SHOWN, host)
        printed = [line.replace(host, SHOWN) for line in run(command, folder, surroundings)]
        if step.line == 0:
            assert not any(line.startswith("(exit status") for line in printed), printed
        else:
            different = comparison.differs(step.printed, printed)
            assert not different, f"{path.name}:{step.line}: $ {step.command}\n{different}"


def test_the_readme_has_sessions_of_every_kind() -> None:
    shown = " ".join(step.command for path in DOCUMENTS for s in sessions(path) for step in s.steps)

    assert shown.count("casstore ") > 60


def test_a_line_that_is_not_printed_is_told() -> None:
    comparison = Comparison()

    assert comparison.differs(["Untagged: a:1"], ["Untagged: a:1"]) == ""
    assert "'Untagged: a:1'" in comparison.differs(["Untagged: a:1"], ["Untagged: a:2"])
    assert "None" in comparison.differs(["Untagged: a:1"], [])
    assert "None" in comparison.differs([], ["Untagged: a:1"])


def test_a_digest_may_be_another_but_the_same_throughout() -> None:
    comparison = Comparison()

    assert comparison.differs(["Deleted: " + "a" * 64], ["Deleted: " + "b" * 64]) == ""
    assert comparison.differs(["a" * 12], ["b" * 12]) == ""
    assert comparison.differs(["a" * 12], ["c" * 12]) != ""
    assert comparison.translated("casstore rmi " + "a" * 12) == "casstore rmi " + "b" * 12


def test_sizes_may_differ_by_little() -> None:
    comparison = Comparison()

    assert comparison.differs(["Would free 2.253 kB"], ["Would free 2.3 kB"]) == ""
    assert comparison.differs(["Would free 2.253 kB"], ["Would free 3.253 kB"]) != ""
