"""What a look at casstore.db asks, each question by its name, so that a test can show its plan."""

from __future__ import annotations

from casstore.backends.local.schema import WRITTEN

_STATE = (
    "SELECT blob.digest, blob.kind, blob.size, layer.file_bytes, blob.refcount"
    " FROM {} LEFT JOIN layer ON layer.blob = blob.id WHERE {}"
)
_LAYER = "SELECT blob.digest, blob.size, compression, diff_id, diff_size, file_bytes FROM {}"

# Records of index.json: name, media type, digest, size, parent, id of the reference, pinned.
PUBLISHED_NAMES = (
    "SELECT reference.name, holding.media_type, blob.digest, blob.size, parent.digest, reference.id"
    ", image.id IN pin, (SELECT value FROM meta WHERE key = '<written>' || reference.name)"
    " FROM reference JOIN image ON image.id = reference.image"
    " JOIN holding ON holding.image = image.id AND holding.manifest = reference.manifest"
    " JOIN blob ON blob.id = reference.manifest"
    " LEFT JOIN image AS parent ON parent.id = image.parent {} ORDER BY reference.id"
).replace("<written>", WRITTEN)
PUBLISHED_NAMELESS = (
    "SELECT NULL, holding.media_type, blob.digest, blob.size, parent.digest, 0, image.id IN pin"
    ", NULL FROM image JOIN holding ON holding.image = image.id"
    " JOIN blob ON blob.id = holding.manifest LEFT JOIN image AS parent ON parent.id = image.parent"
    " WHERE {} NOT EXISTS (SELECT 1 FROM reference WHERE reference.image = image.id"
    " AND reference.manifest = blob.id) ORDER BY image.id, blob.id"
)

BLOBS_AT_ONCE = 500  # that one statement looks up
_AMONG = "SELECT digest FROM blob WHERE digest IN ({})"

# Every statement by its name, so that a test can show the plan of each.
STATEMENTS = {
    "known_among": _AMONG.format(",".join("?" * BLOBS_AT_ONCE)),
    "image_named": "SELECT image.digest FROM reference JOIN image ON image.id = reference.image"
    " WHERE reference.name = ?",
    "has_image": "SELECT 1 FROM image WHERE digest = ?",
    "images_with_prefix": "SELECT digest FROM image WHERE digest BETWEEN ? AND ? LIMIT 2",
    "references_of": "SELECT reference.name, blob.digest FROM image"
    " JOIN reference ON reference.image = image.id JOIN blob ON blob.id = reference.manifest"
    " WHERE image.digest = ? ORDER BY reference.id",
    "parent_of": "SELECT parent.digest FROM image JOIN image AS parent ON parent.id = image.parent"
    " WHERE image.digest = ?",
    "children_of": "SELECT child.digest FROM image JOIN image AS child ON child.parent = image.id"
    " WHERE image.digest = ? ORDER BY child.id",
    "leases_on": "SELECT lease.name FROM image JOIN lease ON lease.image = image.id"
    " WHERE image.digest = ? AND (expires IS NULL OR expires > ?) ORDER BY lease.name",
    "manifests_of": _STATE.format(
        "image JOIN holding ON holding.image = image.id JOIN blob ON blob.id = holding.manifest",
        "image.digest = ?",
    ),
    "needs_of": _STATE.format(
        "blob AS document JOIN edge ON edge.parent = document.id JOIN blob ON blob.id = edge.child",
        "document.digest = ? ORDER BY edge.position",
    ),
    "needs_and_layers_of": _LAYER.format(
        "blob AS document JOIN edge ON edge.parent = document.id JOIN blob ON blob.id = edge.child"
        " LEFT JOIN layer ON layer.blob = blob.id WHERE document.digest = ? ORDER BY edge.position"
    ),
    "blob_size": "SELECT size FROM blob WHERE digest = ?",
    "layer": _LAYER.format("blob JOIN layer ON layer.blob = blob.id WHERE blob.digest = ?"),
    "layer_with_diff_id": _LAYER.format(
        "layer JOIN blob ON blob.id = layer.blob WHERE diff_id = ? ORDER BY blob.size LIMIT 1"
    ),
    "tops_of": "SELECT holding.media_type, blob.digest, blob.size FROM image"
    " JOIN holding ON holding.image = image.id JOIN blob ON blob.id = holding.manifest"
    " WHERE image.digest = ? ORDER BY blob.id",
    "top_named": "SELECT holding.media_type, blob.digest, blob.size FROM reference"
    " JOIN blob ON blob.id = reference.manifest"
    " JOIN holding ON holding.image = reference.image AND holding.manifest = reference.manifest"
    " WHERE reference.name = ?",
    "last_tagged": "SELECT max(reference.tagged) FROM image"
    " JOIN reference ON reference.image = image.id WHERE image.digest = ?",
    "holders_of": "SELECT image.digest FROM holding JOIN blob ON blob.id = holding.manifest"
    " JOIN image ON image.id = holding.image WHERE blob.digest = ? ORDER BY image.id",
    "needed_by": "SELECT document.digest FROM blob JOIN edge ON edge.child = blob.id"
    " JOIN blob AS document ON document.id = edge.parent WHERE blob.digest = ?"
    " ORDER BY document.id",
    "facts_of": "SELECT image.digest, parent.digest, image.created, image.size, image.labels"
    " FROM image LEFT JOIN image AS parent ON parent.id = image.parent WHERE image.digest = ?",
    "platform_of": "SELECT os, architecture, variant FROM image WHERE digest = ?",
    "referrers_of": "SELECT image.digest FROM subject"
    " JOIN holding ON holding.manifest = subject.manifest JOIN image ON image.id = holding.image"
    " WHERE subject.digest = ? ORDER BY image.id",
    "subjects_of": "SELECT blob.digest FROM image JOIN holding ON holding.image = image.id"
    " JOIN subject ON subject.manifest = holding.manifest"
    " JOIN blob ON blob.digest = subject.digest WHERE image.digest = ? ORDER BY blob.id",
    "meta": "SELECT value FROM meta WHERE key = ?",
    "names_between": "SELECT name FROM reference WHERE name >= ? AND name < ? ORDER BY name",
    "blobs_with_prefix": "SELECT digest FROM blob WHERE digest BETWEEN ? AND ? LIMIT 2",
    "trash_of": "SELECT trash_image.digest, trash.id, trash.expires FROM blob"
    " JOIN trash_holding ON trash_holding.manifest = blob.id"
    " JOIN trash_image ON trash_image.id = trash_holding.image"
    " JOIN trash ON trash.id = trash_image.trash WHERE blob.digest = ? ORDER BY trash.id",
    "is_pinned": "SELECT 1 FROM image JOIN pin ON pin.image = image.id WHERE image.digest = ?",
    "blob_state": _STATE.format("blob", "blob.digest = ?"),
}

# Statements that read whole tables on purpose: listings and checks.
LISTINGS = {
    "all_images": "SELECT image.digest, parent.digest, image.created, image.size, image.labels"
    " FROM image LEFT JOIN image AS parent ON parent.id = image.parent",
    "all_images_without_labels": "SELECT image.digest, parent.digest, image.created, image.size,"
    " NULL FROM image LEFT JOIN image AS parent ON parent.id = image.parent",
    "all_references": "SELECT image.digest, reference.name FROM reference"
    " JOIN image ON image.id = reference.image ORDER BY reference.id",
    "all_parents": "SELECT DISTINCT parent.digest FROM image"
    " JOIN image AS parent ON parent.id = image.parent",
    "all_tops": "SELECT image.digest, holding.media_type, blob.digest, blob.size FROM holding"
    " JOIN image ON image.id = holding.image JOIN blob ON blob.id = holding.manifest"
    " ORDER BY image.id, blob.id",
    "all_published_names": PUBLISHED_NAMES.format(""),
    "all_published_nameless": PUBLISHED_NAMELESS.format(""),
    "all_blob_names": "SELECT digest FROM blob",  # from the index alone
    "all_blobs": _STATE.format("blob", "1 ORDER BY blob.id"),
    "all_pins": "SELECT image.digest FROM pin JOIN image ON image.id = pin.image",
    "all_edges": "SELECT document.digest, blob.digest FROM edge"
    " JOIN blob AS document ON document.id = edge.parent JOIN blob ON blob.id = edge.child"
    " ORDER BY edge.parent, edge.position",
    "all_layers": _LAYER.format("layer JOIN blob ON blob.id = layer.blob ORDER BY blob.id"),
    "all_leases": "SELECT lease.name, image.digest, lease.expires FROM lease"
    " JOIN image ON image.id = lease.image ORDER BY lease.name",
    "all_referrers": "SELECT image.digest FROM subject JOIN blob ON blob.digest = subject.digest"
    " JOIN holding ON holding.manifest = subject.manifest JOIN image ON image.id = holding.image",
    "stored_bytes": "SELECT coalesce(sum(size), 0) FROM blob",
    "doomed": "SELECT digest FROM doomed ORDER BY digest",
}
