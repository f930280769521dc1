"""Other people's programs, for tests that skip where one is missing or cannot work."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

Word = str | Path


def ended(*command: Word) -> subprocess.CompletedProcess[str]:
    """What the program has come to, whatever its status."""
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=120, check=False
    )


def run(*command: Word) -> str:
    """What the program prints, which must end with status 0."""
    done = ended(*command)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Podman:
    """podman with images of its own in a folder."""

    def __init__(self, folder: Path) -> None:
        self._command: tuple[Word, ...] = (
            "podman", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs",
            "--root", folder / "root", "--runroot", folder / "run",
        )  # fmt: skip

    def __call__(self, *words: Word) -> str:
        return run(*self._command, *words)

    def ended(self, *words: Word) -> subprocess.CompletedProcess[str]:
        """What podman has come to, whatever its status."""
        return ended(*self._command, *words)

    def complaint(self) -> str:
        """Why podman does not work here: '' if it does.

        An ordinary user's needs newuidmap and user namespaces, which not every machine grants.
        """
        done = ended(*self._command, "images")
        return done.stderr.strip() if done.returncode else ""


@contextmanager
def podman() -> Iterator[Podman]:
    # A short path: podman wants its directories below 50 characters. What an ordinary user's leaves
    # there can belong to others.
    with tempfile.TemporaryDirectory(prefix="cs-", dir="/tmp", ignore_cleanup_errors=True) as path:
        own = Podman(Path(path))
        if complaint := own.complaint():
            pytest.skip(f"podman does not work here: {complaint[:200]}")
        yield own
