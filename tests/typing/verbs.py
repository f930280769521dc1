"""What the methods of a store take and give, as a type checker sees it; nothing here is run.

`test_complete.py` holds the names against those of the classes: a method that is missing fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, ParamSpec, TypeVar, assert_type

from casstore import (
    Access,
    Attestation,
    CheckResult,
    CollectionPlan,
    CollectionResult,
    Digest,
    DiskUsage,
    EmptiedTrash,
    Event,
    FileChange,
    GcResult,
    HistoryRow,
    Image,
    ImageFile,
    ImageFiles,
    ImageSummary,
    Kept,
    LayerUse,
    Lease,
    LeaseInfo,
    Leases,
    LoadResult,
    Place,
    PlatformRow,
    ProgressCallback,
    PruneResult,
    PullResult,
    PushedTag,
    RemovalResult,
    RestoreResult,
    Rule,
    Settings,
    SettingValue,
    SettleResult,
    Signed,
    Stop,
    Store,
    StoreFigures,
    Transport,
    Trash,
    TrashEntry,
    TreeRow,
    Verified,
    WrittenFiles,
)
from casstore.store.session import Session

P = ParamSpec("P")
R = TypeVar("R")


def returned(method: Callable[P, R], *args: P.args, **named: P.kwargs) -> R:
    """What a call gives; for calls that give None, which mypy does not let stand as a value."""
    return method(*args, **named)


def told(what: str, how: str) -> None:
    """What `pull` and `push` call."""


def of_a_store(store: Store) -> None:
    with Store(
        Path("images"), lock_timeout=1.0, command="c", max_layer_size=1, volatile=True
    ) as other:
        assert_type(other, Store)
    assert_type(Store("images", progress=lambda _: None), Store)
    assert_type(Store.in_memory(), Store)
    assert_type(store.path, str)
    assert_type(store.notices, list[str])
    assert_type(store.max_layer_size, int | None)
    assert_type(store.progress, ProgressCallback | None)
    assert_type(store.leases, Leases)
    assert_type(store.settings, Settings)
    assert_type(store.trash, Trash)
    assert_type(store.session, Session)
    assert_type(store.parts, dict[str, object])
    assert_type(returned(store.close), None)


def of_archives(store: Store, file: IO[bytes], out: BinaryIO) -> None:
    assert_type(store.load("a.tar", compression="gzip", link=True, policy="p.json"), LoadResult)
    assert_type(store.load("a.tar", verify="digest"), LoadResult)
    assert_type(store.load(Path("a.tar"), policy=Path("p.json")), LoadResult)
    assert_type(store.load(file), LoadResult)
    assert_type(store.load(file, tag="a:1", clobber=False), LoadResult)
    assert_type(
        store.import_image(
            file, "a:1", changes=["CMD sh"], message="m", parent="b:1", compression="none",
            platform="linux/arm64",
        ),
        Digest,
    )  # fmt: skip
    assert_type(store.import_image(Path("root.tar")), Digest)
    assert_type(returned(store.export, "a:1", "a.tar", platform="linux/arm64"), None)
    assert_type(returned(store.export, "a:1", out), None)
    assert_type(
        store.unpack("a:1", Path("d"), force=True, rootless=True, keep_setid=True, platform="p"),
        WrittenFiles,
    )
    assert_type(
        store.copy_files("a:1", "/etc", "d", owners=True, keep_setid=True, follow_link=True),
        WrittenFiles | None,
    )
    assert_type(store.copy_files("a:1", b"/etc", out, platform="linux/arm64"), WrittenFiles | None)
    assert_type(returned(store.save, ["a:1"], "a.tar", format="oci"), None)
    assert_type(returned(store.save, ["a:1"], Path("a.tar")), None)
    assert_type(returned(store.save, ["a:1"], out), None)
    assert_type(returned(store.save, ["a:1"], out, platform="linux/arm64"), None)
    assert_type(
        returned(store.save, ["a:1"], out, exclude_base=["b:1"], since=[Path("x"), "list"]), None
    )
    assert_type(returned(store.save, ["a:1"], "a.tar", delta_from=["b:1"]), None)
    assert_type(store.open_layer("sha256:00"), IO[bytes])


def of_events(store: Store, wait: Callable[[float], bool]) -> None:
    assert_type(store.events(), Iterator[Event])
    assert_type(
        store.events(since=0, until="10m", follow=True, filters=["event=tag"], wait=wait),
        Iterator[Event],
    )
    assert_type(store.events(wait=time.sleep), Iterator[Event])


def of_copies(store: Store, place: Place, via: Access | Transport) -> None:
    assert_type(
        store.copy_in(place, "a:1", platform="linux/amd64", whole=True, compression="zstd", via=via,
                      policy="p.json", verify="all"),
        Digest,
    )  # fmt: skip
    assert_type(store.copy_out("a:1", place, platform="linux/amd64", whole=True, via=via), Digest)


def of_files(store: Store) -> None:
    assert_type(store.files("a:1", platform="linux/amd64"), ImageFiles)
    assert_type(store.layers("a:1", platform="linux/amd64"), list[LayerUse])
    assert_type(store.diff("a:1", "b:1", platform="linux/amd64", times=True), Iterator[FileChange])


def of_image_files(files: ImageFiles) -> None:
    with files as opened:
        assert_type(opened, ImageFiles)
    assert_type(files["/etc/passwd"], ImageFile)
    assert_type(files[b"/etc/passwd"], ImageFile)
    assert_type(list(files), list[str])
    assert_type(files.layers, tuple[Digest, ...])
    assert_type(files.walk("/etc"), Iterator[ImageFile])
    assert_type(files.listdir(b"/etc"), Iterator[ImageFile])
    assert_type(files.resolve("/bin/sh", follow_last=False), ImageFile)
    assert_type(files.open("/etc/passwd"), BinaryIO)
    assert_type(files.read_bytes("/etc/passwd"), bytes)
    assert_type(files.read_text("/etc/passwd", "ascii", "replace"), str)
    assert_type(files.layer_uses(), list[LayerUse])
    assert_type(files.layer_contents(0), Iterator[ImageFile])
    assert_type(files.layer_contents("sha256:00"), Iterator[ImageFile])
    assert_type(returned(files.close), None)
    assert_type(returned(files.export, "a.tar"), None)
    assert_type(files.unpack("d", force=True, rootless=True, keep_setid=True), WrittenFiles)
    assert_type(
        files.copy("/etc", Path("d"), owners=True, keep_setid=True, follow_link=True),
        WrittenFiles | None,
    )


def of_images(store: Store) -> None:
    assert_type(store.images(all=True, filters=["label=a"], patterns=("a",)), list[ImageSummary])
    assert_type(store.each_image(all=True, filters={"label=a"}), Iterator[ImageSummary])
    assert_type(store.image_ids(all=True, digits=12), Iterator[list[str]] | None)
    assert_type(store.names("a", most=5), list[str])
    assert_type(store.get("a:1"), Image)
    assert_type(store.history("a:1"), list[HistoryRow])
    assert_type(store.inspect("a:1", platform="linux/amd64"), dict[str, Any])
    assert_type(
        store.attestations("a:1", platform="linux/amd64", key=Path("pub")), list[Attestation]
    )
    assert_type(
        store.sbom("a:1", platform="linux/amd64", type="spdx", digest="1", key=b""), Attestation
    )
    assert_type(store.platforms("a:1"), list[PlatformRow])


def of_keys(store: Store, password: Callable[[], bytes]) -> None:
    assert_type(
        store.sign(["a:1"], b"key", password=password, annotations={"a": "b"}, kind="referrer"),
        list[Signed],
    )
    assert_type(store.verify("a:1", Path("pub"), annotations={"a": "b"}, identity="i"), Verified)
    assert_type(store.encrypt("a:1", "b:1", [("jwe", b""), ("jwe", Path("k"))], layers=[0]), Digest)
    assert_type(store.decrypt("a:1", "b:1", [(b"key", None), (Path("k"), password)]), Digest)


def of_names(store: Store) -> None:
    assert_type(returned(store.tag, "a:1", "b:1"), None)
    assert_type(returned(store.pin, "a:1", "b:1", pinned=False), None)
    assert_type(
        store.remove(
            ["a:1"], force=True, prune=False, dry_run=True, glob=True, verbose=True, keep=3600.0
        ),
        RemovalResult,
    )
    assert_type(
        store.prune(all=True, filters=["label=a"], dry_run=True, keep=1.0, stop=Stop()),
        PruneResult,
    )
    assert_type(returned(store.use, "a:1", "b:1"), None)


def of_registries(store: Store, via: Access | Transport) -> None:
    assert_type(
        store.pull("reg.example/a:1", platform="linux/amd64", all_platforms=False, all_tags=False,
                   referrers=True, via=via, tell=told, policy=Path("p.json"),
                   verify="all"),
        PullResult,
    )  # fmt: skip
    assert_type(
        store.push("reg.example/a:1", all_tags=True, referrers=True, via=via, tell=told),
        tuple[PushedTag, ...],
    )


def of_space(store: Store) -> None:
    assert_type(store.df(), DiskUsage)
    assert_type(store.tree(by="parents"), list[TreeRow])
    assert_type(store.why("a:1"), Kept | None)
    assert_type(returned(store.report, Path("page.html"), files=True), None)
    assert_type(store.figures(), StoreFigures)


def of_upkeep(store: Store, plan: CollectionPlan, rules: tuple[Rule, ...], stop: Stop) -> None:
    assert_type(store.gc(dry_run=True, empty_trash=True), GcResult)
    assert_type(store.settle(seconds=1.0), SettleResult)
    assert_type(store.collect({"keep": 5}, dry_run=True, empty_trash=True), CollectionResult)
    assert_type(store.collect(Path("policy.toml"), stop=stop), CollectionResult)
    assert_type(store.collect(rules, plan=plan), CollectionResult)
    assert_type(
        store.check(repair=True, repair_from=["a.tar", Path("b.tar")], rebuild=True, content=False),
        CheckResult,
    )
    assert_type(returned(store.clone, Path("clone")), None)
    assert_type(returned(store.publish, on_demand=True), None)


def of_leases(leases: Leases) -> None:
    assert_type(leases.hold("a:1", "b:1", name="n"), Lease)
    assert_type(leases.list(), list[LeaseInfo])
    assert_type(returned(leases.add, "n", "a:1", ttl_seconds=None), None)
    assert_type(returned(leases.remove, "n", "m"), None)


def of_a_lease(lease: Lease) -> None:
    with lease as held:
        assert_type(held, Lease)
    assert_type(lease.name, str)
    assert_type(lease.images, tuple[Digest, ...])
    assert_type(lease.descriptor, int | None)
    assert_type(returned(lease.release), None)


def of_settings(settings: Settings) -> None:
    assert_type(settings.list(), list[SettingValue])
    assert_type(returned(settings.set, "trash.keep", "1h"), None)
    assert_type(returned(settings.unset, "trash.keep"), None)


def of_trash(trash: Trash) -> None:
    assert_type(trash.list(), list[TrashEntry])
    assert_type(trash.restore("a:1", 7, name="b:1"), RestoreResult)
    assert_type(trash.empty("a:1", 7), EmptiedTrash)
