"""key generate and key public, on real files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.cli.fakes import Run


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COSIGN_PASSWORD", raising=False)
    monkeypatch.setattr("casstore.trust.keyfile.SCRYPT_N", 1 << 10)  # the strength is not tested
    return tmp_path


def test_generate_makes_a_pair_whose_private_half_is_the_owners_alone(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "pw")
    done = run("key", "generate")

    assert done == (
        0, "Private key written to cosign.key\nPublic key written to cosign.pub\n", "",
    )  # fmt: skip
    assert stat.S_IMODE((here / "cosign.key").stat().st_mode) == 0o600
    assert sorted(os.listdir(here)) == ["cosign.key", "cosign.pub"]
    assert run("key", "public", "cosign.key").out == (here / "cosign.pub").read_text()


@pytest.mark.parametrize("there", ["mine.key", "mine.pub"])
def test_generate_never_overwrites(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "")
    (here / there).write_text("precious")
    done = run("key", "generate", "-o", "mine")

    assert done == (1, "", f'Error: "{there}" is there already; no key was made\n')
    assert os.listdir(here) == [there] and (here / there).read_text() == "precious"


def test_generate_does_not_write_through_a_dangling_link(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "")
    (here / "cosign.key").symlink_to("elsewhere")

    assert run("key", "generate").status == 1
    assert not (here / "elsewhere").exists()


def test_generate_in_a_missing_directory_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "")

    assert run("key", "generate", "-o", "no/such") == (
        1, "", 'Error: cannot write "no/such.key": no such file or directory\n',
    )  # fmt: skip


def test_a_password_file_goes_before_the_variable(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "pw").write_text("from the file\n")
    monkeypatch.setenv("COSIGN_PASSWORD", "from the variable")
    run("key", "generate", "--password-file", "pw")

    assert run("key", "public", "cosign.key").status == 1
    assert run("key", "public", "--password-file", "pw", "cosign.key").status == 0
    monkeypatch.setenv("COSIGN_PASSWORD", "from the file")
    assert run("key", "public", "cosign.key").status == 0


def test_without_password_or_terminal_generate_says_what_is_missing(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        done = run("key", "generate")

    assert done.status == 1
    assert "set COSIGN_PASSWORD, or use --password-file" in done.err
    assert os.listdir(here) == []


def test_public_tells_of_a_file_that_is_not_there(run: Run) -> None:
    assert run("key", "public", "nosuch") == (
        1, "", 'Error: cannot read key "nosuch": no such file or directory\n',
    )  # fmt: skip


def test_public_of_the_wrong_password_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "right")
    run("key", "generate")
    monkeypatch.setenv("COSIGN_PASSWORD", "wrong")

    assert run("key", "public", "cosign.key") == (
        1, "", 'Error: "cosign.key" cannot be decrypted: wrong password, or a damaged file\n',
    )  # fmt: skip
