"""Image configs: image ID, diff IDs, chain IDs, history.

The config's digest is the image ID, so a config is only ever read, never written again. Checks
and their words are dockerd's (`image.NewFromJSON`, `image/store.go`, `tarexport/load.go`).
"""

from __future__ import annotations

from casstore.errors import Refused, printable, quote
from casstore.model import document
from casstore.model.digest import Digest, sha256
from casstore.model.document import Fields
from casstore.model.rfc3339 import parse_time
from casstore.model.shape import Each, Keys, marks, strings
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self

MAX_DIFF_IDS = 512
MAX_HISTORY = 10_000
ROOTFS_TYPE = "layers"
HOST_OS = "linux"  # what dockerd calls itself; layers of other systems cannot be mounted there

# What a container is run with. Source: moby's api/types/container/config.go.
CONTAINER = Keys(
    {
        **dict.fromkeys(("Cmd", "Entrypoint", "Env", "Labels", "OnBuild", "Shell"), strings),
        **dict.fromkeys(("ExposedPorts", "Volumes"), marks),
        "Healthcheck": Keys(
            {"Test": strings}, "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"
        ),
    },
    "Hostname", "Domainname", "User", "AttachStdin", "AttachStdout", "AttachStderr", "Tty",
    "OpenStdin", "StdinOnce", "ArgsEscaped", "Image", "WorkingDir", "NetworkDisabled", "MacAddress",
    "StopSignal", "StopTimeout",
)  # fmt: skip
CONFIG = Keys(
    {
        "config": CONTAINER,
        "container_config": CONTAINER,
        "history": Each(Keys({}, "created", "created_by", "author", "comment", "empty_layer")),
        "os.features": strings,
        "rootfs": Keys({}, "type", "diff_ids"),
    },
    "created", "author", "architecture", "os", "os.version", "variant", "comment", "container",
    "docker_version", "parent",
)  # fmt: skip


class HistoryEntry(Value):
    """One step of the build."""

    created: int | None  # nanoseconds since 1970
    created_by: str
    author: str
    comment: str
    empty_layer: bool


class ImageConfig(Value):
    """What the store, `inspect` and `history` want to know of a config."""

    id: Digest
    diff_ids: tuple[Digest, ...]  # bottom first
    history: tuple[HistoryEntry, ...]  # oldest first
    created: int | None  # nanoseconds since 1970; None for no time, or the year 1
    author: str
    os: str
    architecture: str
    variant: str
    config: dict[str, Any]  # what a container of it would run with
    labels: tuple[tuple[str, str], ...]  # sorted by key
    document: dict[str, Any]  # the whole config, with its known keys as they should be spelled

    @property
    def chain_ids(self) -> tuple[Digest, ...]:
        """Digest of each stack of layers, from the lowest layer alone to all of them."""
        return chain_ids(self.diff_ids)

    @property
    def history_layers(self) -> tuple[Digest | None, ...]:
        """The diff ID that each step of the history made; None for a step without a layer."""
        diff_ids = iter(self.diff_ids)
        return tuple(None if step.empty_layer else next(diff_ids, None) for step in self.history)


def parse_config(data: bytes, image_id: Digest | None = None) -> ImageConfig:
    """Parse a config from its bytes, whose digest is computed unless it is known already.

    Raises:
        Refused: not an image config, or one that contradicts itself.
    """
    if image_id is None:
        image_id = sha256(data)
    name = f"config {image_id}"
    fields = Fields(document.read(data, name, CONFIG), name)
    diff_ids = _diff_ids(fields)
    history = _history(fields)
    if sum(not step.empty_layer for step in history) > len(diff_ids):
        raise Refused("too many non-empty layers in History section")
    config = fields.mapping("config")
    labels = Fields(config, f"config of {name}").text_mapping("Labels")
    return ImageConfig(
        id=image_id,
        diff_ids=diff_ids,
        history=history,
        created=_time(fields, "created"),
        author=fields.text("author"),
        os=fields.text("os"),
        architecture=fields.text("architecture"),
        variant=fields.text("variant"),
        config=config,
        labels=tuple(sorted(labels.items())),
        document=fields.values,
    )


def check_rootfs(config: ImageConfig) -> None:
    """Refuse a config that does not speak of layers at all, as dockerd does.

    Raises:
        Refused: with dockerd's words.
    """
    if config.document.get("rootfs") is None:
        raise Refused(f"invalid image JSON, no RootFS key in config {config.id}")


def is_of_host(os: str) -> bool:
    """Whether dockerd takes an image of this system out of a docker archive."""
    return os.lower() in ("", HOST_OS)


def check_os(os: str) -> None:
    """Refuse an image of another system, as dockerd does when it loads an archive.

    Raises:
        Refused: with dockerd's words.
    """
    if not is_of_host(os):
        raise Refused(f"cannot load {printable(os[:80])} image on {HOST_OS}")


def chain_ids(diff_ids: Sequence[Digest]) -> tuple[Digest, ...]:
    """Chain IDs of a stack of layers, bottom first (OCI image-spec, config.md)."""
    chain: list[Digest] = []
    for diff_id in diff_ids:
        chain.append(sha256(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)


class HistoryPrint(Value):
    """A history as its digests: a chain of thousands of images is millions of steps."""

    whole: Digest
    below: Digest  # of all steps but the last

    @classmethod
    def of(cls, history: Sequence[HistoryEntry]) -> Self:
        """The print of these steps."""
        parts = [repr(tuple(step)).encode("utf-8", "surrogatepass") for step in history]
        return cls(sha256(b"".join(parts)), sha256(b"".join(parts[:-1])))

    def may_follow(self, parent: HistoryPrint) -> bool:
        """The same as `is_child_history`."""
        return self.below == parent.whole


def is_child_history(parent: Sequence[HistoryEntry], child: Sequence[HistoryEntry]) -> bool:
    """Whether a recorded parent is possible: exactly one more step, or no history at all."""
    return tuple(child[:-1]) == tuple(parent)


def _diff_ids(fields: Fields) -> tuple[Digest, ...]:
    if "rootfs" not in fields:
        return ()  # `check_rootfs` refuses that wherever there are layers
    rootfs = fields.fields("rootfs")
    if rootfs.text("type") not in ("", ROOTFS_TYPE):
        raise rootfs.wrong("type", f"is not {quote(ROOTFS_TYPE)}")
    diff_ids = rootfs.items("diff_ids")
    if len(diff_ids) > MAX_DIFF_IDS:
        raise Refused(
            f"{fields.name} has {len(diff_ids)} layers, which exceeds the limit of {MAX_DIFF_IDS}"
        )
    try:
        return tuple(map(Digest.parse, diff_ids))
    except Refused as refusal:
        raise rootfs.wrong("diff_ids", f"has an {refusal}") from None


def _history(fields: Fields) -> tuple[HistoryEntry, ...]:
    steps = fields.items("history")
    if len(steps) > MAX_HISTORY:
        raise Refused(f"{fields.name} has a history that exceeds the limit of {MAX_HISTORY} steps")
    history: list[HistoryEntry] = []
    times: dict[str, int | None] = {}  # most steps of a build were made in few different seconds
    for number, step in enumerate(steps, 1):
        entry = Fields(step, f"step {number} of the history of {fields.name}")
        created = entry.text("created")
        if created not in times:
            times[created] = _time(entry, "created")
        history.append(
            HistoryEntry._make(
                (
                    times[created],
                    entry.text("created_by"),
                    entry.text("author"),
                    entry.text("comment"),
                    entry.flag("empty_layer"),
                )
            )
        )
    return tuple(history)


def _time(fields: Fields, key: str) -> int | None:
    text = fields.text(key)
    if not text:
        return None
    try:
        return parse_time(text)
    except ValueError:
        raise fields.wrong(key, "is not a time") from None
