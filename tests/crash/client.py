"""What the server does for a client of the registry, as one command that can be interrupted.

    client.py --store STORE push NAME:TAG      an image of two layers, one of them in pieces
    client.py --store STORE delete NAME:TAG    its manifest, by its digest

It asks the API as the server does, without a socket. Errors are told as casstore tells them.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import tarfile
from collections.abc import Sequence
from hashlib import sha256

from casstore.errors import CasstoreError
from casstore.server.message import BytesBody, Headers, Request, Response
from casstore.server.registry.api import answer
from casstore.server.registry.options import RegistryOptions
from casstore.store import Store
from casstore.store import receiving as _receiving  # noqa: F401 - the server has it by then

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Refused(CasstoreError):
    """An answer that says no."""


def main(words: Sequence[str]) -> int:
    """Do it; the exit status is casstore's."""
    _, path, what, name = words
    repository, _, tag = name.partition(":")
    try:
        import casstore.cli.commands.serve  # noqa: F401 - the mark from which on errors are ours

        with Store(path) as store:
            client = _Client(store, repository)
            if what == "push":
                client.push(tag)
            else:
                client.delete(tag)
    except CasstoreError as error:
        sys.stderr.write(f"Error: {error}\n")
        return error.exit_code
    except (ImportError, OSError) as error:  # of a module that is imported late
        sys.stderr.write(f"Error: {error}\n")
        return 1
    return 0


class _Client:
    def __init__(self, store: Store, repository: str) -> None:
        self._store, self._repository = store, repository

    def push(self, tag: str) -> None:
        config, *layers = blobs = _image()
        whole, pieces = blobs[:2], blobs[2:]
        for blob in whole:
            self._ask("POST", "blobs/uploads/", {"digest": [_digest(blob)]}, blob)
        for blob in pieces:
            place = dict(self._ask("POST", "blobs/uploads/").headers)["Location"]
            upload = f"blobs/uploads/{place.rpartition('/')[2]}"
            self._ask("PATCH", upload, {}, blob[:20])
            self._ask("PUT", upload, {"digest": [_digest(blob)]}, blob[20:])
        gzipped = "application/vnd.oci.image.layer.v1.tar+gzip"
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(config, "application/vnd.oci.image.config.v1+json"),
            "layers": [_descriptor(layer, gzipped) for layer in layers],
        }
        self._ask("PUT", f"manifests/{tag}", {}, json.dumps(document).encode())

    def delete(self, tag: str) -> None:
        try:
            found = self._ask("GET", f"manifests/{tag}")
        except Refused:
            return  # it was deleted
        self._ask("DELETE", f"manifests/{dict(found.headers)['Docker-Content-Digest']}")

    def _ask(
        self, method: str, place: str, query: dict[str, list[str]] | None = None, body: bytes = b""
    ) -> Response:
        request = Request(
            method, f"/v2/{self._repository}/{place}", query or {},
            Headers([("Content-Type", MANIFEST)]), BytesBody(body),
        )  # fmt: skip
        response = answer(request, self._store, RegistryOptions())
        response.close()
        if response.status >= 400:
            raise Refused(f"{method} {place}: {response.status} {response.body!r}")
        return response


def _image() -> list[bytes]:
    """A config, and the layers over which it is."""
    layers = [_layer("one"), _layer("two")]
    diff_ids = [_digest(layer) for layer in layers]
    config = {
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}
    }  # fmt: skip
    return [json.dumps(config).encode(), *(gzip.compress(layer, mtime=0) for layer in layers)]


def _layer(text: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("file")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


def _digest(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


def _descriptor(data: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
