"""cosign's key files: those that other programs wrote, what is refused, and our own."""

from __future__ import annotations

import base64
import json
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from casstore.errors import Refused
from casstore.trust.keyfile import open_private_key, seal_private_key

ROOT = Path(__file__).resolve().parents[2]
KEYS = ROOT / "fixtures" / "images" / "signed" / "keys"

SECRET = json.dumps(base64.b64encode(b"reallyimportant").decode()).encode()
# What secure-systems-lab's Go library made, one for each of its settings.
BY_GO = {
    "legacy": (
        32768,
        "WO3mVvyTwJ9vwT5/Tk5OW5WPIBUofMjcpEfrLnfY4uA=",
        "tCy7HcTFr4uxv4Nrg/DWmncuZ148U1MX",
        "08n43p5G5yviPEZpO7tPPF4aZQkWiWjkv4taFdhDBA0tamKH4nw=",
    ),
    "standard": (
        65536,
        "FhzPOt9/bJG4PTq6lQ6ecG6GzaOuOy/ynG5+yRiFlNs=",
        "aw1ng1jHaDz/tQ7V2gR9O2+IGQ8xJEuE",
        "HycvuLZL4sYH0BrYTh4E/H20VtAW6u5zL5Pr+IBjYLYnCPzDkq8=",
    ),
    "owasp": (
        131072,
        "m38E3kouJTtiheLQN22NQ8DTito5hrjpUIskqcd375k=",
        "Y6PM13yA+o44pE/W1ZBwczeGnTV/m9Zc",
        "6H8sqj1K6B6yDjtH5AQ6lbFigg/C2yDDJc4rYJ79w9aVPImFIPI=",
    ),
}


def body(n: int, salt: str, nonce: str, ciphertext: str) -> bytes:
    value = {
        "kdf": {"name": "scrypt", "params": {"N": n, "r": 8, "p": 1}, "salt": salt},
        "cipher": {"name": "nacl/secretbox", "nonce": nonce},
        "ciphertext": ciphertext,
    }
    return json.dumps(value).encode()


def changed(*path: str, to: Any) -> bytes:
    """The fixture's key file with one field replaced."""
    value = json.loads((KEYS / "cosign.key.json").read_text())
    place = value
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return json.dumps(value).encode()


@pytest.mark.parametrize("setting", BY_GO)
def test_what_go_sealed_is_opened(setting: str) -> None:
    assert open_private_key(body(*BY_GO[setting]), "k", b"supersecret") == SECRET


def test_a_recorded_key_is_opened_with_its_password() -> None:
    der = open_private_key((KEYS / "cosign.key.json").read_bytes(), "k", b"fixture")

    assert der[:2] == b"\x30\x81"


def test_the_wrong_password_is_told() -> None:
    with pytest.raises(Refused, match=r"^k cannot be decrypted: wrong password"):
        open_private_key((KEYS / "cosign.key.json").read_bytes(), "k", b"fixturf")


@pytest.mark.parametrize(
    ("path", "to", "says"),
    [
        (("kdf", "name"), "argon2", "is not scrypt"),
        (("cipher", "name"), "aes", "is not nacl/secretbox"),
        (("kdf", "params", "N"), 1 << 18, "more work than any key file needs"),
        (("kdf", "params", "r"), 1 << 20, "more work"),
        (("kdf", "params", "p"), 1 << 20, "more work"),
        (("kdf", "params", "N"), 1000, "no parameters of scrypt"),
        (("kdf", "params", "N"), 0, "no parameters of scrypt"),
        (("kdf", "params", "p"), 0, "no parameters of scrypt"),
        (("kdf", "params", "N"), -2, "is not a size"),
        (("kdf", "salt"), "", "no parameters of scrypt"),
        (("kdf", "salt"), "%%", "is not base64"),
        (("cipher", "nonce"), "AAAA", "is not 24 bytes long"),
        (("ciphertext",), "AAAA", "wrong password, or a damaged file"),
        (("ciphertext",), 7, "is not a string"),
        (("kdf",), None, "is not a JSON object"),
    ],
)
def test_a_hostile_key_file_is_refused(path: tuple[str, ...], to: object, says: str) -> None:
    tracemalloc.start()
    with pytest.raises(Refused, match=re.escape(says)):
        open_private_key(changed(*path, to=to), "k", b"fixture")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 10 << 20


def test_what_is_sealed_is_pem_of_todays_type_and_opens_again() -> None:
    text = seal_private_key(b"secret", b"pw").decode()
    armoured = re.fullmatch(
        r"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n(.*)"
        r"-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n",
        text,
        re.DOTALL,
    )
    assert armoured
    inner = base64.b64decode(armoured[1])

    assert json.loads(inner)["kdf"]["params"] == {"N": 65536, "r": 8, "p": 1}
    assert open_private_key(inner, "k", b"pw") == b"secret"


def test_two_seals_of_one_key_have_nothing_in_common() -> None:
    one, two = (seal_private_key(b"secret", b"pw") for _ in range(2))

    assert one.splitlines()[5:8] != two.splitlines()[5:8]
