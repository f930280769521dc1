"""Artifacts that refer to an image, in the shape of a list of referrers (OCI distribution)."""

from __future__ import annotations

from casstore.model.manifest import Manifest, parse_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casstore.model.digest import Digest
    from casstore.ports.blobs import Blobs
    from casstore.ports.view import View


def shapes_of(view: View, blobs: Blobs, artifact: Digest, subject: Digest) -> list[dict[str, Any]]:
    """The manifests of an artifact that refer to `subject`, each as a list of referrers has it."""
    shapes = []
    for top in view.tops_of(artifact):
        document = parse_document(blobs.read(top.digest), top)
        config = document.config if isinstance(document, Manifest) else None
        kind = document.artifact_type or (config.descriptor.media_type if config else "")
        shapes.append(
            {
                "MediaType": top.media_type,
                "Digest": top.digest,
                "Size": top.size,
                "ArtifactType": kind,
                "Annotations": dict(sorted(document.annotations.items())),
                "Subject": subject,
            }
        )
    return shapes
