"""Docker archives in: what `docker save`, podman, skopeo, BuildKit and Bazel write.

`manifest.json` lists images: a config, layers (plain tars, or compressed ones, as members or
links to members) and tags. The config is kept byte for byte; layers are packed; a manifest is
written where the store has none for the image yet. As in dockerd, a layer that is known by its
diff ID is never read, the names of config files promise nothing, and `Parent` counts only within
the archive.
"""

from __future__ import annotations

from casstore.errors import InvalidReference, Refused, quote
from casstore.model import document, mediatype
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, is_hex64
from casstore.model.document import MAX_DOCUMENT, Fields
from casstore.model.imageconfig import check_os, check_rootfs, parse_config
from casstore.model.imagetree import read_tree
from casstore.model.kept import LayerRecord
from casstore.model.manifest import MAX_CHILDREN, build_manifest
from casstore.model.record import Arrival, ImageRecord
from casstore.model.reference import Reference, parse_name, parse_target
from casstore.model.shape import Each, Keys, strings
from casstore.startup.value import Value
from casstore.transfer.compress import LayerJob, pack_layers
from casstore.transfer.formats import Listed
from casstore.transfer.imagebatch import ImageBatch
from casstore.transfer.stagedtree import StagedTree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import IO

    from casstore.ports.ingest import Intake
    from casstore.transfer.archive import Archive
    from casstore.transfer.compress import Compression
    from casstore.transfer.formats import Loading

MANIFEST_JSON = "manifest.json"
REPOSITORIES = "repositories"  # of archives from before Docker 1.10
ITEMS = Each(Keys({"RepoTags": strings, "Layers": strings}, "Config", "Parent"))


class Item(Value):
    """An entry of `manifest.json`, checked."""

    config: str  # member names
    layers: tuple[str, ...]  # bottom first
    names: tuple[Reference, ...]
    parent: Digest | None  # as written; it counts only where it is in the same archive


class _Image(Value):
    id: Digest
    size: int  # of the config
    diff_ids: tuple[Digest, ...]


def read(archive: Archive, loading: Loading) -> list[Arrival]:
    """Stage all images of the archive; see `formats.Reader`.

    Raises:
        Refused: anything wrong with it, in dockerd's words where it has some.
        InvalidReference: a malformed tag.
    """
    if not archive.has(MANIFEST_JSON):
        from casstore.transfer.legacyarchive import read_legacy_archive

        return read_legacy_archive(archive, loading.intake, loading.compression)
    if not _is_list(archive):
        from casstore.transfer.advice import advice_on

        if advice := advice_on(archive):
            raise Refused(f"{MANIFEST_JSON} of {quote(archive.label)} lists no images{advice}")
    items = read_manifest_json(archive)
    return read_items(archive, items, loading.intake, loading.compression)


def layers(archive: Archive) -> Listed:
    """The layers of all images, by the configs; see `formats.Reader`."""
    if not archive.has(MANIFEST_JSON):
        raise Refused(f"{quote(archive.label)} has no {MANIFEST_JSON}")
    configs = {item.config for item in read_manifest_json(archive)}
    diff_ids: set[Digest] = set()
    for name in sorted(configs):
        diff_ids.update(parse_config(archive.read(name, MAX_DOCUMENT)).diff_ids)
    return Listed(set(), diff_ids)


def _is_list(archive: Archive) -> bool:
    with archive.open(MANIFEST_JSON) as file:
        return file.read(64).lstrip().startswith((b"[", b"null"))


def read_items(
    archive: Archive,
    items: Sequence[Item],
    intake: Intake,
    compression: Compression,
    *,
    any_os: bool = False,
    others: Collection[Digest] = (),
) -> list[Arrival]:
    """Stage these images of the archive.

    Args:
        archive: where they are.
        items: of its `manifest.json`.
        intake: where blobs are staged.
        compression: of layers.
        any_os: take images of all systems. dockerd takes none but those of its own.
        others: images of the same archive that may be parents, too.

    Raises:
        Refused: anything wrong with it, in dockerd's words where it has some.
    """
    batch = ImageBatch()
    images = _configs(archive, items, intake, batch, any_os=any_os)
    known = {image.id: intake.manifest_of(image.id) for image in images}
    layers = _pack(
        archive,
        [pair for pair in zip(items, images, strict=True) if known[pair[1].id] is None],
        intake,
        compression,
    )
    records: dict[Digest, ImageRecord] = {}
    arrivals: list[Arrival] = []
    for item, image in zip(items, images, strict=True):
        if image.id not in records:
            manifest = known[image.id]
            if manifest is not None:
                record = read_tree(manifest, StagedTree(intake))
            else:
                own = [layers[diff_id] for diff_id in image.diff_ids]
                record = stage_manifest(image.id, image.size, own, intake)
            records[image.id] = batch.image(record)
        is_here = item.parent in known or item.parent in others
        parent = item.parent if is_here and item.parent != image.id else None
        arrivals.append(Arrival(records[image.id], item.names, parent))
    return arrivals


def stage_manifest(
    config: Digest, size: int, layers: Sequence[LayerRecord], intake: Intake
) -> ImageRecord:
    """Stage a manifest of ours for a config that is staged, over layers that are."""
    manifest = build_manifest(config, size, layers)
    top = Descriptor(mediatype.OCI_MANIFEST, intake.add(manifest), len(manifest))
    return read_tree(top, StagedTree(intake, {layer.digest: layer for layer in layers}))


def read_manifest_json(archive: Archive) -> list[Item]:
    """The entries of `manifest.json`; none where it is null, as for dockerd.

    Raises:
        Refused: not a list of entries; a tag that is none.
        InvalidReference: a malformed tag.
    """
    value = document.read(archive.read(MANIFEST_JSON, MAX_DOCUMENT), MANIFEST_JSON, ITEMS)
    if value is None:
        return []
    if not isinstance(value, list):
        raise Refused(f"{MANIFEST_JSON} is not a list of images")
    if len(value) > MAX_CHILDREN:
        raise Refused(f"{MANIFEST_JSON} exceeds the limit of {MAX_CHILDREN} images")
    return [_item(entry, number) for number, entry in enumerate(value, 1)]


def parse_repo_tag(text: str) -> Reference:
    """A tag of `RepoTags`, `repository:tag`.

    Raises:
        Refused: `invalid tag "x"`, for a name without a tag or with a digest.
        InvalidReference: breaks the grammar.
    """
    try:
        name = parse_name(text)
        if name.digest is not None or ":" not in text.rpartition("/")[2]:
            raise Refused(f"invalid tag {quote(text, 200)}")
        return parse_target(text)
    except InvalidReference as error:
        raise InvalidReference(f"{error}: {quote(text)}") from None


def _item(value: object, number: int) -> Item:
    fields = Fields(value, f"image {number} of {MANIFEST_JSON}")
    config, layers = fields.text("Config"), tuple(fields.texts("Layers"))
    if not config:
        raise Refused(f"{fields.name} has no Config")
    if "" in layers:
        raise Refused(f"layer {layers.index('')} of {fields.name} has no path")
    parent = fields.text("Parent")
    is_id = parent.startswith("sha256:") and is_hex64(parent.removeprefix("sha256:"))
    return Item(
        config=config,
        layers=layers,
        names=tuple(map(parse_repo_tag, fields.texts("RepoTags"))),
        parent=Digest(parent) if is_id else None,
    )


def _configs(
    archive: Archive,
    items: Sequence[Item],
    intake: Intake,
    batch: ImageBatch,
    *,
    any_os: bool,
) -> list[_Image]:
    """The image of each item, its config staged. Only what is needed later stays in memory."""
    by_path: dict[str, _Image] = {}
    images: list[_Image] = []
    for item in items:
        image = by_path.get(item.config)
        if image is None:
            data = archive.read(item.config, MAX_DOCUMENT)
            config = parse_config(data)
            check_rootfs(config)
            if not any_os:
                check_os(config.os)
            diff_ids = batch.digests(config.diff_ids)
            image = by_path[item.config] = _Image(intake.add(data), len(data), diff_ids)
        if len(item.layers) != len(image.diff_ids):
            raise Refused(
                "invalid manifest, layers length mismatch: "
                f"expected {len(item.layers)}, got {len(image.diff_ids)}"
            )
        images.append(image)
    return images


def _pack(
    archive: Archive,
    images: Sequence[tuple[Item, _Image]],
    intake: Intake,
    compression: Compression,
) -> dict[Digest, LayerRecord]:
    """Records of all layers of `images`, by diff ID; each that is new is packed once."""
    layers: dict[Digest, LayerRecord] = {}
    jobs: dict[Digest, LayerJob] = {}
    for item, image in images:
        for position, (path, diff_id) in enumerate(zip(item.layers, image.diff_ids, strict=True)):
            if diff_id in layers or diff_id in jobs:
                continue
            record = intake.layer_with_diff_id(diff_id)
            if record is not None:
                layers[diff_id] = record
                continue
            archive.size(path)  # a missing file is told before anything is compressed
            jobs[diff_id] = LayerJob(_opener(archive, path), diff_id, position)
    layers.update(zip(jobs, pack_layers(list(jobs.values()), intake, compression), strict=True))
    return layers


def _opener(archive: Archive, path: str) -> Callable[[], IO[bytes]]:
    return lambda: archive.open(path)
