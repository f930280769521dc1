"""The formats in which images are read and written: one table.

A format more is a line in it, a module that reads it, and one with `_out` behind its name that
writes it. `load`, `save`, `copy`, their options and help, and trust policies ask this table; no
other module says a format's name. A reader or writer is imported when something is read or written
with it.
"""

from __future__ import annotations

from casstore.errors import UsageError, quote
from casstore.startup.typed import Protocol, cast
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from casstore.model.digest import Digest
    from casstore.model.record import Arrival
    from casstore.ports.blobs import StoredBlobs
    from casstore.ports.ingest import Intake
    from casstore.progress import Task
    from casstore.transfer.archive import Archive
    from casstore.transfer.compress import Compression
    from casstore.transfer.saved import SavedImage
    from casstore.transfer.tarout import Member
    from casstore.transfer.thin import Thin

# What is written, and named in a place. An archive can be read unpacked, a folder in a tar, too.
ARCHIVE, FOLDER = "archive", "folder"

THIN_JSON = "casstore-thin.json"  # beside the lists of images: what is left out

# What there is a place for.
IMAGES = "images"  # configs, plain layers and tags; manifests are made anew by the reader
MANIFESTS = "manifests"  # manifests byte for byte, under any name, and what refers to them
ONE = "one"  # one manifest byte for byte with all that is under it, without a name

# All words of containers-transports(5) but that for a registry: one that stands for no format here
# is not to be taken for the name of an image.
_WORDS = (
    "atomic", "containers-storage", "dir", "docker-archive", "docker-daemon", "oci", "oci-archive",
    "ostree", "sif",
)  # fmt: skip


class Format(Value):
    """A form in which images lie in a file or a directory."""

    name: str  # what --format says
    transport: str  # before the colon of a place, and in trust policies
    shape: str
    holds: str
    told: str  # files that an input of it has, the most telling first; with =X, one that begins so
    module: str  # the reader; the writer's has _out behind it
    about: str  # what it is, in the help of save
    place: str = ""  # the same in the help of copy, where it is said differently there
    hints: str = ""  # files any of which tells it of an input that is told to be of no format

    @property
    def files(self) -> list[tuple[str, str]]:
        """The files of `told`: the name of each, and what it begins with."""
        words = (word.partition("=") for word in self.told.split())
        return [(name, head) for name, _, head in words]

    @property
    def is_open(self) -> bool:
        """Whether its blobs lie each by itself, so that some can be taken out, and others added."""
        return self.shape == FOLDER and self.holds == MANIFESTS

    def reader(self) -> Reader:
        """The module that reads it."""
        return cast("Reader", _module(self.module))

    def archive_writer(self) -> ArchiveWriter:
        """The module that writes it, of an archive."""
        return cast("ArchiveWriter", _module(f"{self.module}_out"))

    def folder_writer(self) -> FolderWriter:
        """The module that writes it, of a folder."""
        return cast("FolderWriter", _module(f"{self.module}_out"))


FORMATS = (
    Format(
        "docker", "docker-archive", ARCHIVE, IMAGES, "manifest.json", "dockerarchive",
        "an archive for docker load", "an archive that docker load reads", "repositories",
    ),
    Format(
        "oci", "oci-archive", ARCHIVE, MANIFESTS, "index.json oci-layout", "ocilayout",
        "an archive", "a tar of one", "index.json oci-layout",
    ),
    Format(
        "oci-dir", "oci", FOLDER, MANIFESTS, "index.json oci-layout", "ocilayout",
        "a layout directory", "an OCI layout", "index.json oci-layout",
    ),
    Format("dir", "dir", FOLDER, ONE, "manifest.json={ version", "skopeodir", "an image as files"),
)  # fmt: skip
DEFAULT = FORMATS[0]  # of save


class Listed(Value):
    """Layers of all the images of an input, whether they are in it or not."""

    digests: set[Digest]  # of blobs; none where a format has layers by their diff IDs
    diff_ids: set[Digest]


class Loading(Value):
    """Where the images of an input go, and how."""

    intake: Intake  # where blobs are staged
    compression: Compression  # for plain layers that have no digest of their own to keep
    link: bool  # take the blobs of a folder by hard link or reflink where that is possible
    notices: list[str]  # get a line for each thing that is in the input and does not come in
    pulse: Callable[[], None] | None  # to be called while the thread of the load waits for others
    thin: Thin | None = None  # what the input leaves out


class Reader(Protocol):
    """A module that reads a format."""

    def read(self, archive: Archive, loading: Loading) -> list[Arrival]:
        """Stage all images of an input.

        Raises:
            Refused, InvalidReference: the input is wrong; one line says what.
        """

    def layers(self, archive: Archive) -> Listed:
        """The layers of all images of an input; only documents are read. Raises as `read`."""


class ArchiveWriter(Protocol):
    """A module that writes a format which is an archive."""

    def members(
        self, images: Sequence[SavedImage], blobs: StoredBlobs, thin: Thin | None = None
    ) -> list[Member]:
        """What is in the archive of these images, in order, and a list of what is left out.

        Raises:
            Unsupported: the format has no place for an image.
            Damaged: a document is missing or is not its digest.
        """


class FolderWriter(Protocol):
    """A module that writes a format which is a folder."""

    LAST: str  # the file without which a folder is not of the format

    def write(
        self,
        path: str,
        images: Sequence[SavedImage],
        blobs: StoredBlobs,
        thin: Thin | None = None,
        *,
        link: Callable[[str, str], bool] | None = None,
        task: Task | None = None,
    ) -> None:
        """Fill the folder at `path`; see `DirectoryFiles` for the other arguments.

        What a thin folder leaves out is listed in it. Nothing is flushed to the disk. On an error
        what was written is removed again.

        Raises:
            Refused: there is something at `path` that is no empty directory.
            Unsupported: the format has no place for the images.
            Damaged: a blob is missing or is not its digest.
        """


def is_transport(word: str) -> bool:
    """Whether this stands before the colon of a place, here or in other tools."""
    return word in _WORDS or any(form.transport == word for form in FORMATS)


def format_named(name: str) -> Format:
    """The format that --format calls so. Raises UsageError where there is none."""
    for form in FORMATS:
        if form.name == name:
            return form
    names = ", ".join(form.name for form in FORMATS)
    raise UsageError(f"unknown format {quote(name)}: use one of {names}")


def format_of(transport: str, place: str = "") -> Format:
    """The format of a transport, which the place `place` names.

    Raises:
        UsageError: there is none.
    """
    for form in FORMATS:
        if form.transport == transport:
            return form
    raise UsageError(f"{quote(place or transport)}: the transport {transport}: is not known")


def _module(name: str) -> object:
    return __import__(f"casstore.transfer.{name}", fromlist=(name,))
