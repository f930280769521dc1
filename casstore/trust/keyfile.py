"""cosign's key files: a PEM whose body is JSON that scrypt and secretbox keep a PKCS#8 key in.

    -----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----       (older: ENCRYPTED COSIGN PRIVATE KEY)
    base64 of {"kdf":{"name":"scrypt","params":{"N":65536,"r":8,"p":1},"salt":…},
               "cipher":{"name":"nacl/secretbox","nonce":…},"ciphertext":…}

Sources: cosign's KEYS documentation; secure-systems-lab's and go-tuf's `encrypted` packages, which
cosign and skopeo use. They write N=65536 today, wrote N=32768 before, and know N=131072.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from hashlib import scrypt  # in this form an interpreter or a process that lacks it is told

from casstore.errors import Refused
from casstore.model import document
from casstore.model.document import Fields
from casstore.trust.secretbox import KEY_SIZE, NONCE_SIZE, WrongBox, open_box, seal

PEM_TYPE = "ENCRYPTED SIGSTORE PRIVATE KEY"
PEM_TYPES = (PEM_TYPE, "ENCRYPTED COSIGN PRIVATE KEY")

# What cosign writes today ("Standard" of its library).
SCRYPT_N, SCRYPT_R, SCRYPT_P = 1 << 16, 8, 1
SALT_SIZE = 32

# A key file comes from anywhere. scrypt takes 128*N*r bytes and time in proportion to N*r*p: the
# limit is the strongest setting that cosign knows (N=131072: 128 MiB).
MAX_SCRYPT_MEMORY = 128 << 20
MAX_SCRYPT_WORK = (1 << 17) * 8
MAX_SALT = 1024
MAX_CIPHERTEXT = 64 << 10


def seal_private_key(der: bytes, password: bytes) -> bytes:
    """The text of a key file for a PKCS#8 key."""
    salt, nonce = os.urandom(SALT_SIZE), os.urandom(NONCE_SIZE)
    value = {
        "kdf": {
            "name": "scrypt",
            "params": {"N": SCRYPT_N, "r": SCRYPT_R, "p": SCRYPT_P},
            "salt": _base64(salt),
        },
        "cipher": {"name": "nacl/secretbox", "nonce": _base64(nonce)},
        "ciphertext": _base64(
            seal(der, nonce, _derived(password, salt, SCRYPT_N, SCRYPT_R, SCRYPT_P))
        ),
    }
    return armour(json.dumps(value, separators=(",", ":")).encode("ascii"), PEM_TYPE)


def open_private_key(body: bytes, name: str, password: bytes) -> bytes:
    """The PKCS#8 key (DER) in the body of a key file.

    Args:
        body: the JSON.
        name: what messages call the file.
        password: as typed; it may be empty.

    Raises:
        Refused: another form, parameters beyond the limits, or the wrong password.
    """
    fields = Fields(document.parse(body, name, limit=MAX_CIPHERTEXT * 2), name)
    kdf, cipher = fields.fields("kdf"), fields.fields("cipher")
    for part, wanted in ((kdf, "scrypt"), (cipher, "nacl/secretbox")):
        if part.text("name") != wanted:
            raise part.wrong("name", f"is not {wanted}, which is all that is known")
    parameters = kdf.fields("params")
    n, r, p = (parameters.size(key) for key in ("N", "r", "p"))
    salt = _bytes(kdf, "salt")
    is_power = n > 1 and not n & (n - 1)
    if not (is_power and r and p and 0 < len(salt) <= MAX_SALT):  # RFC 7914, section 6
        raise Refused(f"{parameters.name} are no parameters of scrypt")
    if 128 * n * r > MAX_SCRYPT_MEMORY or n * r * p > MAX_SCRYPT_WORK:
        raise Refused(
            f"{name} asks for more work than any key file needs: "
            f"scrypt with N={n}, r={r}, p={p} exceeds the limit of N=131072, r=8, p=1"
        )
    box, nonce = _bytes(fields, "ciphertext"), _bytes(cipher, "nonce")
    if len(nonce) != NONCE_SIZE:
        raise cipher.wrong("nonce", f"is not {NONCE_SIZE} bytes long")
    try:
        return open_box(box, nonce, _derived(password, salt, n, r, p))
    except WrongBox:
        raise Refused(f"{name} cannot be decrypted: wrong password, or a damaged file") from None


def armour(data: bytes, kind: str) -> bytes:
    """`data` as PEM."""
    text = base64.b64encode(data).decode("ascii")
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""]).encode()


def _derived(password: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    memory = 128 * r * (n + p + 2) + (1 << 20)
    return scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=KEY_SIZE)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(fields: Fields, key: str) -> bytes:
    try:
        return binascii.a2b_base64(fields.text(key).encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise fields.wrong(key, "is not base64") from None
