"""The layer cipher of ocicrypt: AES-256 in counter mode, and HMAC-SHA256 of what comes out.

Each layer has a key and a nonce of its own. The HMAC is of the ciphertext, under the same key.
What a recipient needs is in two JSON documents: the private options (key, nonce, digest of the
layer in the clear), which are wrapped for each recipient, and the public ones (cipher, HMAC).

Encrypting hashes three times over (the plain bytes, the HMAC, the ciphertext's digest) beside one
pass of AES: the hashes of a piece go on in threads while the next one is read and encrypted.

Source: ocicrypt, blockcipher/blockcipher.go and blockcipher_aes_ctr.go; its spec.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any, Self

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from casstore.errors import Damaged, Refused, quote
from casstore.model import document
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.document import Fields
from casstore.model.signatures import go_json
from casstore.ports.ingest import Draft
from casstore.startup.value import Value

CIPHER = "AES_256_CTR_HMAC_SHA256"
KEY_SIZE, NONCE_SIZE, HMAC_SIZE = 32, 16, 32
MAX_OPTIONS = 64 << 10
SMALL = 64 << 10  # below this a thread costs more than it saves
_PIECE = 1 << 20


class Private(Value):
    """What only recipients may know."""

    key: bytes
    nonce: bytes
    digest: Digest  # of the layer in the clear


class Public(Value):
    """What everybody may know."""

    hmac: bytes


class Encrypted(Value):
    """A layer that was encrypted: what its descriptor must say."""

    digest: Digest
    size: int
    private: Private
    public: Public


def write_private(private: Private) -> bytes:
    """The private options as ocicrypt writes them."""
    return go_json(
        {
            "symkey": _base64(private.key),
            "digest": private.digest,
            "cipheroptions": {"nonce": _base64(private.nonce)},
        }
    )


def write_public(public: Public) -> bytes:
    """The public options as ocicrypt writes them."""
    return go_json({"cipher": CIPHER, "hmac": _base64(public.hmac), "cipheroptions": {}})


def parse_private(data: bytes) -> Private:
    """Read what a key has unwrapped.

    Raises:
        Refused: it is not what ocicrypt writes.
    """
    fields = Fields(document.parse(data, "layer key", limit=MAX_OPTIONS), "layer key")
    options = fields.fields("cipheroptions")
    return Private(
        _bytes(fields, "symkey", KEY_SIZE),
        _bytes(options, "nonce", NONCE_SIZE),
        Digest.parse(fields.values.get("digest")),
    )


def parse_public(data: bytes) -> Public:
    """Read the public options.

    Raises:
        Refused: it is not what ocicrypt writes, or another cipher.
    """
    fields = Fields(document.parse(data, "public options", limit=MAX_OPTIONS), "public options")
    if fields.text("cipher") != CIPHER:
        raise Refused(f"the cipher {quote(fields.text('cipher'))} is not known")
    if "hmac" not in fields and "cipheroptions" in fields:  # before ocicrypt 1.0
        fields = fields.fields("cipheroptions")
    return Public(_bytes(fields, "hmac", HMAC_SIZE))


def encrypt_layer(source: IO[bytes], plain: Descriptor, draft: Draft) -> Encrypted:
    """Encrypt a layer under a new key; the caller seals the draft.

    Args:
        source: the layer as stored.
        plain: its descriptor: the bytes are held against it.
        draft: where the ciphertext goes.

    Raises:
        Damaged: the bytes are not those of the descriptor.
    """
    key, nonce = os.urandom(KEY_SIZE), os.urandom(NONCE_SIZE)
    encryptor = Cipher(algorithms.AES(key), modes.CTR(nonce)).encryptor()
    before, after = hashlib.sha256(), hashlib.sha256()
    mac = hmac.new(key, digestmod="sha256")
    work = _Aside(plain.size)
    size = 0
    try:
        while data := source.read(_PIECE):
            size += len(data)
            sealed = encryptor.update(data)
            work.start(data, before)
            work.start(sealed, mac, after)
            draft.write(sealed)
        work.finish()
    finally:
        work.close()
    digest = Digest.of_bytes(before.digest())
    if size != plain.size or digest != plain.digest:
        raise Damaged(f"blob {plain.digest} is corrupt: its content has another digest")
    private = Private(key, nonce, plain.digest)
    return Encrypted(Digest.of_bytes(after.digest()), size, private, Public(mac.digest()))


class DecryptedLayer:
    """A layer in the clear, as its ciphertext is read: a stream that ends well or not at all."""

    def __init__(
        self, source: IO[bytes], size: int, private: Private, public: Public, name: str
    ) -> None:
        """`size` is that of the ciphertext; `name` is what messages call the layer."""
        self._source = source
        self._decryptor = Cipher(algorithms.AES(private.key), modes.CTR(private.nonce)).decryptor()
        self._mac = hmac.new(private.key, digestmod="sha256")
        self._wanted = public.hmac
        self._work = _Aside(size)
        self._name = name

    def read(self, size: int = -1) -> bytes:
        """The next bytes.

        Raises:
            Refused: at the end, where the HMAC is another one.
        """
        data = self._source.read(size if size >= 0 else _PIECE)
        if not data:
            self._work.finish()
            if not hmac.compare_digest(self._mac.digest(), self._wanted):
                raise Refused(
                    f"{self._name} has another HMAC: "
                    "it was changed or cut off, or its annotations are another layer's"
                )
            return b""
        self._work.start(data, self._mac)
        return self._decryptor.update(data)

    def close(self) -> None:
        """Close the ciphertext."""
        self._work.close()
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


class _Aside:
    """Hashes fed in other threads, each in order; the memory is two pieces for each."""

    def __init__(self, size: int) -> None:
        self._pool = ThreadPoolExecutor(2, "casstore-crypt") if size >= SMALL else None
        self._running: dict[int, Future[None]] = {}

    def start(self, data: bytes, *hashes: Any) -> None:
        """Feed one piece to hashes that always go together."""
        if self._pool is None:
            _update(data, hashes)
            return
        before = self._running.get(id(hashes[0]))
        if before is not None:
            before.result()
        self._running[id(hashes[0])] = self._pool.submit(_update, data, hashes)

    def finish(self) -> None:
        """Wait for what is under way."""
        for future in self._running.values():
            future.result()

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()


def _update(data: bytes, hashes: tuple[Any, ...]) -> None:
    for one in hashes:
        one.update(data)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(fields: Fields, key: str, size: int) -> bytes:
    try:
        value = binascii.a2b_base64(fields.text(key).encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise fields.wrong(key, "is not base64") from None
    if len(value) != size:
        raise fields.wrong(key, f"is not {size} bytes long")
    return value
