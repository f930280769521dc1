"""import on a store: platforms, and standard input that brings nothing."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from tests.sessions.commandline import casstore
from tests.transfer.building import tar_of

ROOT = tar_of({"etc/motd": b"hi"})


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "store")


def platform_of(store: str, name: str) -> list[str]:
    shown = json.loads(casstore(store, ["inspect", name]).out)[0]
    return [shown[key] for key in ("Os", "Architecture", "Variant") if shown.get(key)]


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("linux/aarch64", ["linux", "arm64"]),
        ("linux/arm64/v8", ["linux", "arm64"]),
        ("arm64", ["linux", "arm64"]),
        ("linux/armv7l", ["linux", "arm", "v7"]),
        ("Linux/ARM/6", ["linux", "arm", "v6"]),
        ("linux/x86_64", ["linux", "amd64"]),
        ("windows/amd64", ["windows", "amd64"]),
    ],
)
def test_the_platform_is_written_in_gos_words(given: str, written: list[str], store: str) -> None:
    assert casstore(store, ["import", "--platform", given, "-", "x:1"], ROOT).status == 0

    assert platform_of(store, "x:1") == written
    assert casstore(store, ["inspect", "--platform", given, "x:1"]).status == 0


@pytest.mark.parametrize("given", ["linux", "linux/", "a/b/c/d", "linux/a b"])
def test_what_is_no_platform_is_wrong_usage(given: str, store: str) -> None:
    result = casstore(store, ["import", "--platform", given, "-", "x:1"], ROOT)

    assert result.status == 2 and "invalid platform" in result.err


def test_this_machines_platform_is_the_default(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.uname()
    parts = [here.sysname, here.nodename, here.release, here.version, "aarch64"]
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(parts))

    casstore(store, ["import", "-", "x:1"], ROOT)

    assert platform_of(store, "x:1") == ["linux", "arm64"]


@pytest.mark.parametrize("data", [b"", gzip.compress(b"", mtime=0)], ids=["nothing", "gzip"])
def test_standard_input_that_brings_nothing_is_refused(data: bytes, store: str) -> None:
    result = casstore(store, ["import", "-", "x:1"], data)

    assert result.status == 1 and result.err == (
        "Error: the root file system is empty: nothing was written to it\n"
    )
    assert casstore(store, ["images", "-q"]).out == ""


def test_an_empty_tar_and_an_empty_file_are_empty_images(store: str, tmp_path: Path) -> None:
    assert casstore(store, ["import", "-", "x:1"], bytes(10_240)).status == 0
    (tmp_path / "empty").write_bytes(b"")
    assert casstore(store, ["import", str(tmp_path / "empty"), "x:2"]).status == 0  # as docker
