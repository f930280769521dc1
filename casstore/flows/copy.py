"""copy between registries and layouts: blob by blob, and nothing goes through a store.

Manifests are read and checked, for they say what there is to copy. Of all else the digest and the
size are, as the bytes pass; what is in a layer is for whoever unpacks it. What is there already is
not read again: a registry is asked what the tag names, then for each blob, and in a layout a blob
counts that has its size.
"""

from __future__ import annotations

from casstore.errors import Damaged, NotFound, Refused
from casstore.model.digest import sha256
from casstore.model.manifest import Manifest
from casstore.model.reference import parse_name
from casstore.model.treechecks import check_digest, check_size, is_document, manifest_for
from casstore.startup.typed import cast
from casstore.transfer.copiedtree import CopiedTree, read_verified
from casstore.transfer.place import REGISTRY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.platform import Platform
    from casstore.model.reference import Name
    from casstore.registry.http import Transport
    from casstore.registry.remote import Repository
    from casstore.transfer.copiedtree import BlobSource
    from casstore.transfer.layoutsink import LayoutSink
    from casstore.transfer.layoutsource import LayoutSource
    from casstore.transfer.place import Place

WIDTH = 4  # blobs at a time


def copy_straight(
    source: Place, target: Place, transport: Transport | None, platform: Platform | None
) -> Digest | None:
    """Copy an image between registries and layouts.

    Args:
        transport: where one of them is a registry.
        platform: which image of an index to take; None: all of it.

    Returns:
        The digest of its manifest or index. None where the copy has to go through a store: an end
        is neither, or what is copied has to be made into something else.

    Raises:
        NotFound: no such image, or none for the platform.
        Refused: the source is malformed, or the target exists and is not a layout.
        RegistryError, StorageError: the target does not take it; what it named is as it was.
    """
    if target.is_layout:
        return _to_layout(source, target, transport, platform)
    if target.transport != REGISTRY:
        return None
    name = parse_name(target.where)
    if name.digest is not None:
        raise Refused("cannot push a digest reference")
    from casstore.model.signatures import grows

    if grows(name.reference):
        return None  # signatures stand beside those that are there
    assert transport is not None
    return _to_registry(source, name, transport, platform)


def _to_registry(
    source: Place, name: Name, transport: Transport, platform: Platform | None
) -> Digest | None:
    origin = _origin(source, transport)
    if origin is None:
        return None
    top = _top_of(origin, origin, platform)
    remote, tag = _repository(name, transport), name.reference.tag or ""
    if remote.names(tag, top):
        return top.digest
    from casstore.registry.bundle import Bundle
    from casstore.registry.send import send  # brings threads: not for a copy of nothing

    tree = CopiedTree(top, origin)
    _note_platform(tree, origin, platform)
    elsewhere: dict[Digest, str] = {}
    if isinstance(origin, _RemoteSource) and origin.is_beside(remote):
        elsewhere = dict.fromkeys(tree.leaves, origin.repository.path)
    try:
        send(remote, Bundle(top, tree), tag, tree, elsewhere=elsewhere, told=_silent)
    except Damaged as error:  # of a store, that is; here it is what was to be copied
        raise Refused(str(error)) from None
    return top.digest


def _top_of(
    origin: _RemoteSource | LayoutSource, source: BlobSource, platform: Platform | None
) -> Descriptor:
    """What is copied: all that the name means, or what an index of it has for a platform."""
    if platform is None:
        return origin.top
    return manifest_for(origin.top, platform, lambda index: read_verified(index, source))


def _to_layout(
    source: Place, target: Place, transport: Transport | None, platform: Platform | None
) -> Digest | None:
    from casstore.transfer.layoutsink import LayoutSink

    if not _is_open(source):
        return None
    sink = LayoutSink(target.where)
    origin = _origin(source, transport)
    if origin is None:
        return None
    nearest = _Nearest(sink, origin)
    top = _top_of(origin, nearest, platform)
    tree = CopiedTree(top, nearest)
    _note_platform(tree, origin, platform, sink)
    documents = [one for one in tree.documents.values() if sink.document(one) is None]
    leaves = [one for one in tree.leaves.values() if not sink.has(one)]
    if documents or leaves or not sink.is_listed(top, target.reference):
        with sink:
            _carry(leaves, tree, sink, transport)
            for one in documents:
                sink.add(one, tree.read(one.digest))
            sink.publish(top, target.reference)
    return top.digest


def _carry(
    leaves: list[Descriptor], tree: CopiedTree, sink: LayoutSink, transport: Transport | None
) -> None:
    """Write blobs, several at a time."""
    is_off = False

    def carry(leaf: Descriptor) -> None:
        with tree.open(leaf.digest) as stream:
            sink.write(leaf, stream, lambda: is_off)

    if len(leaves) < 2:
        for leaf in leaves:
            carry(leaf)
        return
    from casstore.startup.workers import Workers

    with Workers(WIDTH, "casstore-copy") as pool:
        try:
            for one in [pool.submit(carry, leaf) for leaf in leaves]:
                one.result()
        except BaseException:
            is_off = True
            if transport is not None:
                transport.abort()
            pool.shutdown(cancel=True)
            raise


def _is_open(source: Place) -> bool:
    """Whether the blobs of a place are each by itself."""
    if not source.is_layout:
        return source.transport == REGISTRY
    from casstore.transfer.layoutsource import is_plain_layout

    return is_plain_layout(source.where)


def _origin(source: Place, transport: Transport | None) -> _RemoteSource | LayoutSource | None:
    """The image that a place means, and where its blobs are."""
    if not _is_open(source):
        return None
    if source.transport == REGISTRY:
        assert transport is not None
        return _RemoteSource(source.where, transport)
    from casstore.transfer.layoutsource import LayoutSource

    layout = LayoutSource(source.where, source.reference)
    return layout if is_document(layout.top) else None


def _repository(name: Name, transport: Transport) -> Repository:
    from casstore.registry.remote import Registry, Repository

    domain, _, path = name.repository.partition("/")
    return Repository(Registry(transport, domain), path)


class _RemoteSource:
    """An image of a registry; a `BlobSource`."""

    def __init__(self, text: str, transport: Transport) -> None:
        """Ask for it. Raises NotFound, RegistryError, Refused."""
        name = parse_name(text)
        self.name = name.reference
        from casstore.registry.mirrors import repository_to_read

        self.repository = repository_to_read(transport, name)
        self.top, self._data = self.repository.manifest(name.reference.digest or f"{name.tag}")

    def document(self, descriptor: Descriptor) -> bytes | None:
        if descriptor.digest == self.top.digest:
            return self._data
        try:
            kind = descriptor.media_type
            return self.repository.manifest(descriptor.digest, expect=kind)[1]
        except NotFound:
            return None

    def open(self, descriptor: Descriptor) -> IO[bytes]:
        from casstore.registry.blobstream import BlobStream

        return cast("IO[bytes]", BlobStream(self.repository, descriptor))

    def is_beside(self, other: Repository) -> bool:
        """Whether another repository is of the same registry."""
        mine = self.repository
        return mine.registry.domain == other.registry.domain and mine.path != other.path


class _Nearest:
    """Documents from the layout that is copied to, where it has them; else from the source."""

    def __init__(self, sink: LayoutSink, origin: BlobSource) -> None:
        self._sink, self._origin = sink, origin
        self.open = origin.open

    def document(self, descriptor: Descriptor) -> bytes | None:
        known = self._sink.document(descriptor)
        return known if known is not None else self._origin.document(descriptor)


def _note_platform(
    tree: CopiedTree, origin: BlobSource, platform: Platform | None, sink: LayoutSink | None = None
) -> None:
    """Tell, as a pull does, where the one image that there is is for another platform."""
    if platform is None or not isinstance(origin, _RemoteSource) or origin.top != tree.top:
        return
    from casstore.model.imageconfig import parse_config
    from casstore.model.platform import Platform, normal, runs, shown

    manifest = tree.document
    if not isinstance(manifest, Manifest) or manifest.config is None or not manifest.is_image:
        return
    descriptor = manifest.config.descriptor
    data = sink.document(descriptor) if sink is not None else None
    if data is None:
        data = origin.repository.document(descriptor)
        check_size(descriptor, len(data))
        check_digest(descriptor, sha256(data))
        tree.keep(data)
    config = parse_config(data, descriptor.digest)
    own = normal(Platform(config.os, config.architecture, config.variant))
    if config.os and own not in runs(platform):
        transport = origin.repository.registry.transport
        transport.notice(f"{origin.name.familiar} is for {shown(own)}, not for {shown(platform)}")


def _silent(leaf: Descriptor, word: str) -> None:
    """A copy tells its end alone."""
