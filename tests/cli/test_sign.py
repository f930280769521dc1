"""What sign and verify ask of the store, and what they print."""

from __future__ import annotations

from pathlib import Path

import pytest

from casstore.errors import Damaged, Refused
from casstore.model.digest import Digest
from casstore.results.trust import Signed, Verified
from casstore.store import Store
from tests.cli.fakes import FakeStore, Run, ref

DIGEST = Digest.of_hex("ab" * 32)


@pytest.fixture
def key(tmp_path: Path) -> str:
    (tmp_path / "key").write_bytes(b"the key")
    return str(tmp_path / "key")


def test_sign_hands_over_the_key_and_tells_what_is_signed(
    run: Run, store: FakeStore, key: str
) -> None:
    store.will(Store.sign).give([Signed(ref("app:1"), DIGEST, None, DIGEST)])
    done = run("sign", "--key", key, "-a", "a=b", "--annotations", "c=d=e", "app:1")

    assert done == (0, f"Signed: app:1@{DIGEST}\n", "")
    ((name, args, options),) = store.calls
    assert (name, args) == ("sign", (("app:1",), b"the key"))
    assert options["annotations"] == {"a": "b", "c": "d=e"} and options["kind"] == "tag"


def test_sign_passes_the_password_on(
    run: Run, store: FakeStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "pw")
    store.will(Store.sign).give([])
    run("sign", "--type", "referrer", "--key", key, "app:1")

    options = store.calls[0][2]
    assert options["password"]() == b"pw" and options["kind"] == "referrer"


@pytest.mark.parametrize("command", ["sign", "verify"])
def test_without_a_key_it_is_wrong_usage(run: Run, command: str) -> None:
    done = run(command, "app:1")

    assert done.status == 2 and f"'casstore {command}' needs --key" in done.err


@pytest.mark.parametrize("word", ["a", "=b"])
def test_an_annotation_without_key_or_value_is_wrong_usage(run: Run, key: str, word: str) -> None:
    done = run("sign", "--key", key, "-a", word, "app:1")

    assert done.status == 2 and "KEY=VALUE is needed" in done.err


def test_verify_prints_the_payloads_as_one_line_of_json(
    run: Run, store: FakeStore, key: str
) -> None:
    store.will(Store.verify).give(Verified(ref("app:1"), DIGEST, (b'{"a":1}', b'{"b":2}')))

    assert run("verify", "--key", key, "app:1") == (0, '[{"a":1},{"b":2}]\n', "")


def test_verify_goes_on_after_an_image_that_is_not_verified(
    run: Run, store: FakeStore, key: str
) -> None:
    store.will(Store.verify).give(
        Refused("a:1 is not verified: it has no signatures"),
        Verified(ref("b:1"), DIGEST, (b"{}",)),
    )

    assert run("verify", "--key", key, "a:1", "b:1") == (
        1, "[{}]\n", "Error: a:1 is not verified: it has no signatures\n",
    )  # fmt: skip


def test_verify_stops_at_a_damaged_store(run: Run, store: FakeStore, key: str) -> None:
    store.will(Store.verify).give(Damaged("broken"))

    assert run("verify", "--key", key, "a:1").status == 12
