"""What encrypt and decrypt ask of the store, and what they print."""

from __future__ import annotations

from pathlib import Path

import pytest

from casstore.errors import Refused
from casstore.model.digest import Digest
from casstore.store import Store
from tests.cli.fakes import FakeStore, Run

DIGEST = Digest.of_hex("ab" * 32)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COSIGN_PASSWORD", raising=False)
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "two").write_bytes(b"2")
    (tmp_path / "pw").write_bytes(b"from a file\n")
    return tmp_path


def test_encrypt_hands_over_recipients_and_layers(run: Run, store: FakeStore) -> None:
    store.will(Store.encrypt).give(DIGEST)
    done = run(
        "encrypt", "--recipient", "jwe:one", "--recipient=pkcs7:two", "--layer", "0", "--layer=-1",
        "app:1", "new:1",
    )  # fmt: skip

    assert done == (0, f"{DIGEST}\n", "")
    recipients = [("jwe", b"1"), ("pkcs7", b"2")]
    assert store.calls == [("encrypt", ("app:1", "new:1", recipients), {"layers": [0, -1]})]


def test_all_layers_are_encrypted_by_default(run: Run, store: FakeStore) -> None:
    store.will(Store.encrypt).give(DIGEST)
    run("encrypt", "--recipient", "jwe:one", "app:1", "new:1")

    assert store.calls[0][2] == {"layers": None}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "needs --recipient"),
        (("--recipient", "one"), "jwe:FILE or pkcs7:FILE is needed"),
        (("--recipient", "pgp:one"), "jwe:FILE or pkcs7:FILE is needed"),
        (("--recipient", "jwe:"), "jwe:FILE or pkcs7:FILE is needed"),
        (("--recipient", "jwe:one", "--layer", "x"), "a number is needed"),
    ],
)
def test_wrong_words_are_wrong_usage(run: Run, words: tuple[str, ...], says: str) -> None:
    done = run("encrypt", *words, "app:1", "new:1")

    assert done.status == 2 and says in done.err


@pytest.mark.parametrize("words", [("--key", "nosuch"), ("--key", "nosuch:pass=x")])
def test_a_missing_key_file_is_told(run: Run, words: tuple[str, ...]) -> None:
    done = run("decrypt", *words, "app:1", "new:1")

    assert (done.status, done.err) == (
        1, 'Error: cannot read key "nosuch": no such file or directory\n',
    )  # fmt: skip


def test_decrypt_without_a_key_is_wrong_usage(run: Run) -> None:
    assert "needs --key" in run("decrypt", "app:1", "new:1").err


def test_each_key_has_its_own_password(
    run: Run, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "from the variable")
    store.will(Store.decrypt).give(DIGEST)
    done = run(
        "decrypt", "--key", "one:pass=a:b", "--key", "two:file=pw", "--key", "two", "a:1", "b:1"
    )

    assert done == (0, f"{DIGEST}\n", "")
    ((_, (image, name, keys), _),) = store.calls
    assert (image, name) == ("a:1", "b:1")
    assert [(data, password()) for data, password in keys] == [
        (b"1", b"a:b"), (b"2", b"from a file"), (b"2", b"from the variable"),
    ]  # fmt: skip


def test_a_wrong_key_is_one_line(run: Run, store: FakeStore) -> None:
    store.will(Store.decrypt).give(Refused("layer 0 cannot be decrypted: it is not for this key"))

    assert run("decrypt", "--key", "one", "a:1", "b:1") == (
        1, "", "Error: layer 0 cannot be decrypted: it is not for this key\n",
    )  # fmt: skip
