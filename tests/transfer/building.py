"""Archives and layouts made in code: tars, configs, docker archives, OCI layouts."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from typing import Any

from casstore.model.digest import Digest, sha256

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
REF_NAME = "org.opencontainers.image.ref.name"


def tar_of(files: dict[str, bytes], *, format: int = tarfile.USTAR_FORMAT) -> bytes:
    """A tar of these files, in this order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def tar_of_members(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A tar of whatever members: links, devices, a name twice."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info


def layer(text: str) -> bytes:
    """A layer with one file in it."""
    return tar_of({"file": text.encode()})


def config_of(*layers: bytes, **fields: Any) -> bytes:
    """An image config over these layers."""
    value = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [sha256(each) for each in layers]},
        **fields,
    }
    return json.dumps(value).encode()


def docker_archive(*images: dict[str, Any], extra: dict[str, bytes] | None = None) -> bytes:
    """A docker archive; each image has `layers` (bytes) and may have `config`, `tags`, `parent`."""
    files: dict[str, bytes] = {}
    items = []
    for image in images:
        layers: list[bytes] = image.get("layers", [])
        config: bytes = image.get("config") or config_of(*layers)
        paths = []
        for each in layers:
            paths.append(f"{sha256(each).hex}/layer.tar")
            files[paths[-1]] = each
        name = f"{sha256(config).hex}.json"
        files[name] = config
        item: dict[str, Any] = {"Config": name, "RepoTags": image.get("tags"), "Layers": paths}
        if "parent" in image:
            item["Parent"] = image["parent"]
        items.append(item)
    files["manifest.json"] = json.dumps(items).encode()
    return tar_of({**files, **(extra or {})})


class Layout:
    """An OCI layout as files by name, to be written as a directory or a tar."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
        self.entries: list[dict[str, Any]] = []

    def blob(self, data: bytes, media_type: str, **fields: Any) -> dict[str, Any]:
        """Add a blob; returns its descriptor."""
        digest = sha256(data)
        self.files[f"blobs/sha256/{digest.hex}"] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data), **fields}

    def json_blob(self, value: object, media_type: str, **fields: Any) -> dict[str, Any]:
        return self.blob(json.dumps(value).encode(), media_type, **fields)

    def image(self, *texts: str, config: bytes | None = None, **fields: Any) -> dict[str, Any]:
        """Add an image with a gzip layer for each text; returns its manifest's descriptor."""
        layers = [layer(text) for text in texts]
        config = config or config_of(*layers)
        return self.manifest(
            self.blob(config, OCI_CONFIG),
            [self.blob(gzip.compress(each, mtime=0), OCI_LAYER + "+gzip") for each in layers],
            **fields,
        )

    def manifest(
        self, config: dict[str, Any], layers: list[dict[str, Any]], **fields: Any
    ) -> dict[str, Any]:
        value = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config,
            "layers": layers,
            **fields,
        }
        return self.json_blob(value, OCI_MANIFEST)

    def index(self, *children: dict[str, Any]) -> dict[str, Any]:
        value = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children)}
        return self.json_blob(value, OCI_INDEX)

    def publish(self, descriptor: dict[str, Any], ref: str | None = None, **more: str) -> Digest:
        """List the descriptor in index.json; returns its digest."""
        annotations = {REF_NAME: ref, **more} if ref is not None else dict(more)
        self.entries.append({**descriptor, "annotations": annotations})
        return Digest(descriptor["digest"])

    def of(self, descriptor: dict[str, Any]) -> bytes:
        """The bytes of a blob."""
        return self.files[f"blobs/sha256/{descriptor['digest'][7:]}"]

    def has(self, descriptor: dict[str, Any]) -> bool:
        return f"blobs/sha256/{descriptor['digest'][7:]}" in self.files

    def remove(self, descriptor: dict[str, Any]) -> None:
        del self.files[f"blobs/sha256/{descriptor['digest'][7:]}"]

    def all_files(self) -> dict[str, bytes]:
        index = {"schemaVersion": 2, "manifests": self.entries}
        return {"index.json": json.dumps(index).encode(), **self.files}

    def tar(self) -> io.BytesIO:
        return io.BytesIO(tar_of(self.all_files()))

    def write(self, path: str) -> str:
        return write_files(path, self.all_files())


def skopeo_dir(layout: Layout, top: dict[str, Any], *, version: str = "1.1") -> dict[str, bytes]:
    """The files of skopeo's `dir:` of an image whose blobs are in a layout."""
    files = {"version": f"Directory Transport Version: {version}\n".encode()}
    listed: set[str] = set()
    ahead = [top]
    for descriptor in ahead:
        children = json.loads(layout.of(descriptor)).get("manifests", [])
        listed.update(child["digest"] for child in children)
        ahead += [child for child in children if layout.has(child)]
    for name, content in layout.files.items():
        hex_digits = name.rpartition("/")[2]
        if name.startswith("blobs/") and f"sha256:{hex_digits}" != top["digest"]:
            is_listed = f"sha256:{hex_digits}" in listed
            files[f"{hex_digits}.manifest.json" if is_listed else hex_digits] = content
    return {**files, "manifest.json": layout.of(top)}


def write_files(path: str, files: dict[str, bytes]) -> str:
    """A directory of these files."""
    for name, content in files.items():
        target = os.path.join(path, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(content)
    return path
