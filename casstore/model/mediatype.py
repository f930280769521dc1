"""Media types: the ones read and written, and what each one is.

Sources: OCI image-spec, media-types.md; Docker image manifest version 2, schema 2; ocicrypt's
`+encrypted` suffix. A type that is not listed here is nobody's error: the blob is kept, never
interpreted.
"""

from __future__ import annotations

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar"

DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar"

INDEXES = frozenset((OCI_INDEX, DOCKER_LIST))
MANIFESTS = frozenset((OCI_MANIFEST, DOCKER_MANIFEST))
CONFIGS = frozenset((OCI_CONFIG, DOCKER_CONFIG))

# Manifests of before 2016, and the artifact manifest that never became part of OCI 1.1: known by
# name so that they can be refused by name.
DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
SCHEMA1 = frozenset((DOCKER_SCHEMA1, "application/vnd.docker.distribution.manifest.v1+prettyjws"))
OCI_ARTIFACT_MANIFEST = "application/vnd.oci.artifact.manifest.v1+json"

# casstore's own: what an archive leaves out, and a layer as its difference from another.
THIN = "application/vnd.casstore.thin.v1+json"
DELTA = "application/vnd.casstore.delta.v1"

NONE = "none"
GZIP = "gzip"
ZSTD = "zstd"

ENCRYPTED = "+encrypted"

_SUFFIX = {NONE: "", GZIP: "+gzip", ZSTD: "+zstd"}
_OCI_LAYERS = {
    base + suffix: kind
    for base in (OCI_LAYER, OCI_FOREIGN_LAYER)
    for kind, suffix in _SUFFIX.items()
}
# Docker writes a dot where OCI has a plus.
_DOCKER_LAYERS = {
    base + suffix.replace("+", "."): kind
    for base in (DOCKER_LAYER, DOCKER_FOREIGN_LAYER)
    for kind, suffix in _SUFFIX.items()
}
_LAYERS = {
    **_OCI_LAYERS,
    **_DOCKER_LAYERS,
    # what old buildah and containers/image wrote for zstd: an OCI suffix on a Docker type
    DOCKER_LAYER + "+zstd": ZSTD,
    DOCKER_LAYER + "+gzip": GZIP,
}


def is_index(media_type: str) -> bool:
    """Whether this is an image index or a Docker manifest list."""
    return media_type in INDEXES


def is_manifest(media_type: str) -> bool:
    """Whether this is an image manifest, OCI or Docker."""
    return media_type in MANIFESTS


def is_config(media_type: str) -> bool:
    """Whether this is an image config (not an artifact's)."""
    return media_type in CONFIGS


def is_encrypted(media_type: str) -> bool:
    """Whether this is a layer that ocicrypt has encrypted."""
    return media_type.endswith(ENCRYPTED)


def is_layer(media_type: str) -> bool:
    """Whether this is a layer whose tar can be read: in the clear, in a known compression."""
    return media_type in _LAYERS


def is_foreign(media_type: str) -> bool:
    """Whether this layer may lie elsewhere (`urls`) and must not be pushed."""
    plain = media_type.removesuffix(ENCRYPTED)
    return plain.startswith((OCI_FOREIGN_LAYER, DOCKER_FOREIGN_LAYER))


def compression_of(media_type: str) -> str | None:
    """`none`, `gzip` or `zstd`; None where `media_type` is not a readable layer."""
    return _LAYERS.get(media_type)


def layer_type(compression: str) -> str:
    """The OCI layer type for `none`, `gzip` or `zstd`."""
    return OCI_LAYER + _SUFFIX[compression]


def as_oci_layer(media_type: str) -> str:
    """The OCI name of a layer type, for manifests that we write; unknown types stay."""
    compression = _LAYERS.get(media_type)
    return media_type if compression is None else layer_type(compression)
