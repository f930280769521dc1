"""Whatever a user hands to `load`, as images about to enter the store.

Looks what it is, has it read, and checks the parent links between the images in it. Nothing is
committed here: what has been staged when an archive is refused goes with the intake.
"""

from __future__ import annotations

from casstore.errors import NotFound, Refused, StorageError, quote
from casstore.model.imageconfig import HistoryPrint, parse_config
from casstore.model.manifest import INDEX_JSON, OCI_LAYOUT
from casstore.startup.value import Value
from casstore.transfer.archive import Archive, open_archive
from casstore.transfer.directoryarchive import DirectoryArchive
from casstore.transfer.dockerarchive import MANIFEST_JSON, REPOSITORIES, read_docker_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from typing import IO

    from casstore.model.digest import Digest
    from casstore.model.record import Arrival
    from casstore.ports.ingest import Intake
    from casstore.progress import Progress
    from casstore.transfer.compress import Compression

DOCKER_ARCHIVE = "docker-archive"
# Directories at the top of a root file system.
_OF_A_SYSTEM = frozenset(("bin", "boot", "dev", "etc", "lib", "proc", "sbin", "sys", "usr", "var"))


class Found(Value):
    """What an archive or a layout holds, and which form it has."""

    transport: str  # docker-archive, oci-archive or oci, in the words of containers-transports(5)
    arrivals: list[Arrival]
    notices: tuple[str, ...] = ()  # a line for each thing that is in it and does not come in


def read_images(
    where: str | os.PathLike[str] | IO[bytes],
    intake: Intake,
    *,
    compression: Compression,
    link: bool = False,
    progress: Progress | None = None,
) -> list[Arrival]:
    """The images alone that `find_images` finds."""
    found = find_images(where, intake, compression=compression, link=link, progress=progress)
    return found.arrivals


def find_images(
    where: str | os.PathLike[str] | IO[bytes],
    intake: Intake,
    *,
    compression: Compression,
    link: bool = False,
    progress: Progress | None = None,
) -> Found:
    """Stage all images in an archive or a layout.

    Args:
        where: path of a file or a directory, `-` for standard input, or an open file.
        intake: where blobs are staged.
        compression: for layers that arrive as plain tars with no digest of their own to keep.
        link: take the blobs of a layout directory by hard link or reflink where possible.
        progress: is told of the bytes that are read.

    Returns:
        The images in the archive's order, and its form. An image may stand in it several times;
        names are to be attached in this order, parents to be linked after all images are in.

    Raises:
        Refused, InvalidReference: the input is wrong; one line says what.
        NotFound, StorageError: it cannot be opened or read.
    """
    try:
        with open_archive(where, intake, progress) as archive:
            found = _read(archive, intake, compression, link=link, progress=progress)
            if not found.arrivals:
                nothing = f"{quote(archive.label)} lists no images, so nothing was loaded"
                found = Found(found.transport, [], (*found.notices, nothing))
    except OSError as error:
        raise StorageError((error.strerror or str(error)).lower()) from error
    check_parents(found.arrivals, intake)
    return found


def check_parents(arrivals: list[Arrival], intake: Intake) -> None:
    """Hold the parent links among `arrivals` against dockerd's rule, and against cycles.

    Raises:
        Refused: `image sha256:P is not a valid parent for sha256:C`.
    """
    images = {arrival.image.id: arrival.image for arrival in arrivals}
    parents: dict[Digest, Digest] = {}
    histories: dict[Digest, HistoryPrint] = {}

    def history_of(image_id: Digest) -> HistoryPrint:
        if image_id not in histories:
            has_config = images[image_id].top.digest != image_id
            data = intake.read(image_id) if has_config else b""
            steps = parse_config(data, image_id).history if has_config else ()
            histories[image_id] = HistoryPrint.of(steps)
        return histories[image_id]

    for arrival in arrivals:
        child, parent = arrival.image.id, arrival.parent
        if parent is None or parent not in images:
            continue
        parents[child] = parent
        if not history_of(child).may_follow(history_of(parent)):
            raise _illegal(child, parent)
    _refuse_cycle(parents)


def _refuse_cycle(parents: dict[Digest, Digest]) -> None:
    done: set[Digest] = set()
    for start in parents:
        path: set[Digest] = set()
        image = start
        while image in parents and image not in done:
            path.add(image)
            if parents[image] in path:
                raise _illegal(image, parents[image])
            image = parents[image]
        done |= path


def _illegal(child: Digest, parent: Digest) -> Refused:
    return Refused(f"image {parent} is not a valid parent for {child}")


def _read(
    archive: Archive,
    intake: Intake,
    compression: Compression,
    *,
    link: bool,
    progress: Progress | None,
) -> Found:
    has_index, has_layout = archive.has(INDEX_JSON), archive.has(OCI_LAYOUT)
    has_manifest = archive.has(MANIFEST_JSON)
    if has_index and has_layout:
        from casstore.transfer.ocilayout import read_layout

        transport = "oci" if isinstance(archive, DirectoryArchive) else "oci-archive"
        notices: list[str] = []
        arrivals = read_layout(
            archive, intake, notices, compression=compression, link=link,
            pulse=None if progress is None else progress.tell,
        )  # fmt: skip
        return Found(transport, arrivals, tuple(notices))
    if has_manifest:
        if not _is_list(archive):
            if archive.has("version"):
                raise Refused(
                    f"{quote(archive.label)} is a directory in skopeo's dir: form, which cannot be "
                    "loaded; copy it into an OCI layout with skopeo copy dir:… oci:…"
                )
            if hint := _hint(archive):
                raise Refused(f"{MANIFEST_JSON} of {quote(archive.label)} lists no images{hint}")
        return Found(DOCKER_ARCHIVE, read_docker_archive(archive, intake, compression))
    if has_index:
        raise Refused(f"{quote(archive.label)} has an {INDEX_JSON} but no {OCI_LAYOUT} file")
    if has_layout:
        raise Refused(f"{quote(archive.label)} has an {OCI_LAYOUT} file but no {INDEX_JSON}")
    if archive.has(REPOSITORIES):
        from casstore.transfer.legacyarchive import read_legacy_archive

        return Found(DOCKER_ARCHIVE, read_legacy_archive(archive, intake, compression))
    raise Refused(
        f"{quote(archive.label)} holds no images: it has neither {MANIFEST_JSON} nor "
        f"{REPOSITORIES} nor {INDEX_JSON}{_hint(archive)}"
    )


def _hint(archive: Archive) -> str:
    """What to do with an archive of something else, as the end of a message."""
    try:
        names = archive.names
    except (Refused, NotFound, StorageError):
        return ""
    tops = {name.partition("/")[0] for name in names}
    if tops & _OF_A_SYSTEM:
        return "; a root file system (docker export) becomes an image with casstore import"
    for top in sorted(tops):
        if f"{top}/{INDEX_JSON}" in names or f"{top}/{MANIFEST_JSON}" in names:
            if isinstance(archive, DirectoryArchive):
                return f"; its directory {quote(top)} has: load that"
            return f"; its directory {quote(top)} has: make the archive of what is in that (tar -C)"
    return ""


def _is_list(archive: Archive) -> bool:
    with archive.open(MANIFEST_JSON) as file:
        return file.read(64).lstrip().startswith((b"[", b"null"))
