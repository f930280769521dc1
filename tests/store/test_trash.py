"""Removing is undone by the trash: all that went comes back, or a clear word says why not."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from casstore.errors import Conflict, Damaged, InvalidReference, NotFound, UsageError
from casstore.model.digest import sha256
from casstore.store import Store
from tests.backends.local.behind import directory_of, view_of
from tests.transfer.building import config_of, docker_archive, layer

BASE, TOP, OTHER = layer("base"), layer("top"), layer("other")
LATER = layer("later")
BASE_CONFIG = config_of(BASE)
TOP_CONFIG = config_of(BASE, TOP)
CHAIN = docker_archive(
    {"layers": [BASE, TOP], "config": TOP_CONFIG, "tags": ["app:1", "app:2", "shop/app:1"],
     "parent": sha256(BASE_CONFIG)},
    {"layers": [BASE], "config": BASE_CONFIG},
)  # fmt: skip
ELSE = docker_archive({"layers": [OTHER], "tags": ["other:1"]})
DAY = 86400.0
LONG_AGO = 1e-9  # seconds that an entry is kept: it has expired by the next command


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(CHAIN))
        store.load(io.BytesIO(ELSE))
        yield store


def blobs(store: Store) -> set[str]:
    return set(os.listdir(directory_of(store).blobs.directory))


def names(store: Store) -> list[str]:
    return sorted(name.familiar for image in store.images() for name in image.names)


def remove_app(store: Store, keep: float | None = DAY) -> int | None:
    result = store.remove([sha256(TOP_CONFIG)], force=True, keep=keep)
    assert result.exit_code == 0
    return result.outcomes[0].trash


def test_what_is_removed_into_the_trash_frees_nothing_and_says_so(store: Store) -> None:
    before = blobs(store)

    result = store.remove([sha256(TOP_CONFIG)], force=True, keep=DAY)

    assert blobs(store) == before
    assert result.freed == 0
    assert [line.text for line in result.outcomes[0].lines] == [
        "app:1", "app:2", "shop/app:1", sha256(TOP_CONFIG).hex, sha256(BASE_CONFIG).hex,
    ]  # fmt: skip
    assert names(store) == ["other:1"]
    assert store.check().clean


def test_an_entry_comes_back_whole_with_parents_and_names_in_order(store: Store) -> None:
    before = store.images(all=True)
    entry = remove_app(store)
    assert entry is not None

    result = store.trash.restore(entry)

    assert store.images(all=True) == before
    assert result.images == (sha256(BASE_CONFIG), sha256(TOP_CONFIG))
    assert [name.familiar for name in result.names] == ["app:1", "app:2", "shop/app:1"]
    assert store.trash.list() == []
    assert store.check().clean


def test_a_name_alone_comes_back_to_its_image(store: Store) -> None:
    store.remove(["app:2"], keep=DAY)

    result = store.trash.restore("app:2")

    assert result.images == ()
    assert names(store) == ["app:1", "app:2", "other:1", "shop/app:1"]


def test_the_removals_of_one_image_by_one_command_are_one_entry(store: Store) -> None:
    store.remove(["app:1", "app:2", "other:1", "shop/app:1"], keep=DAY)

    assert [[name.familiar for name in entry.names] for entry in store.trash.list()] == [
        ["other:1"], ["app:1", "app:2", "shop/app:1"],
    ]  # fmt: skip


def test_names_come_back_in_the_order_in_which_they_were_made(store: Store) -> None:
    before = store.images(all=True)
    store.remove(["shop/app:1", "app:2", "app:1"], keep=DAY)

    store.trash.restore("app:1")

    assert store.images(all=True) == before


def test_an_entry_says_what_it_alone_holds_and_emptying_frees_that(store: Store) -> None:
    store.tag("other:1", "other:2")
    remove_app(store)
    store.remove(["other:1"], keep=DAY)
    app, other = reversed(store.trash.list())
    before = sum(
        store.session.backend.blobs.size(s.digest) or 0 for s in store.session.view().all_blobs()
    )

    freed = store.trash.empty(app.id).freed

    after = sum(
        store.session.backend.blobs.size(s.digest) or 0 for s in store.session.view().all_blobs()
    )
    assert other.size == 0  # the image has another name
    assert app.size == freed == before - after > 0
    assert store.check().clean


def test_an_image_whose_name_is_kept_survives_the_removal_of_the_image(store: Store) -> None:
    store.tag("other:1", "other:2")
    store.remove(["other:1"], keep=DAY)
    lines = store.remove(["other:2"], keep=0).outcomes[0].lines
    assert [line.role for line in lines] == ["reference", "image"]

    store.trash.restore("other:1")

    assert "other:1" in names(store)
    assert store.check().clean


def test_an_image_that_is_there_again_gets_its_names_only(store: Store) -> None:
    remove_app(store)
    store.load(io.BytesIO(CHAIN))
    store.remove(["app:2", "shop/app:1"])

    assert store.trash.restore("app:2").images == ()
    assert names(store) == ["app:1", "app:2", "other:1", "shop/app:1"]
    assert store.check().clean


def test_a_name_that_another_image_has_is_refused_and_nothing_changes(store: Store) -> None:
    remove_app(store)
    store.tag("other:1", "app:2")
    before = store.images(all=True)

    with pytest.raises(Conflict, match=r"app:2 is the name of image .* --as NAME"):
        store.trash.restore("app:1")

    assert store.images(all=True) == before
    assert len(store.trash.list()) == 1
    store.trash.restore("app:1", name="saved:1")
    assert names(store) == ["app:2", "other:1", "saved:1"]


def test_several_entries_come_back_together_or_not_at_all(store: Store) -> None:
    remove_app(store)
    store.remove(["other:1"], keep=DAY)
    with pytest.raises(NotFound):
        store.trash.restore("other:1", "nosuch")
    assert names(store) == []

    store.trash.restore("other:1", "app:1")

    assert names(store) == ["app:1", "app:2", "other:1", "shop/app:1"]


def test_a_parent_link_is_restored_where_the_parent_is_restored_with_it(store: Store) -> None:
    before = store.images(all=True)
    store.remove(["app:1", "app:2", "shop/app:1"], prune=False, keep=DAY)
    store.remove([sha256(BASE_CONFIG)], keep=DAY)

    store.trash.restore(sha256(TOP_CONFIG), sha256(BASE_CONFIG))

    assert store.images(all=True) == before


@pytest.mark.parametrize("argument", ["app:1", "docker.io/library/app:2", "shop/app:1", "{id}",
                                      "{short}", "sha256:{id}", "{parent}", "1"])  # fmt: skip
def test_an_entry_is_found_by_number_name_or_image_id(store: Store, argument: str) -> None:
    remove_app(store)
    given = argument.format(
        id=sha256(TOP_CONFIG).hex, short=sha256(TOP_CONFIG).short, parent=sha256(BASE_CONFIG).short
    )

    store.trash.restore(given)

    assert "app:1" in names(store)


@pytest.mark.parametrize("argument", ["", "7", "nosuch:1", "UP", "99999999999999999999", "\n", "0"])
def test_what_is_not_in_the_trash_is_not_found(store: Store, argument: str) -> None:
    remove_app(store)

    with pytest.raises(NotFound, match="not in the trash"):
        store.trash.restore(argument)


def test_a_name_means_its_newest_entry(store: Store) -> None:
    store.remove(["other:1"], keep=DAY)
    store.tag("app:1", "other:1")
    store.remove(["other:1"], keep=DAY)

    store.trash.restore("other:1")

    assert "other:1" in [name.familiar for name in store.get("app:1").names]


def test_one_name_is_for_one_entry(store: Store) -> None:
    remove_app(store)
    with pytest.raises(UsageError):
        store.trash.restore("1", "app:1", name="x:1")
    with pytest.raises(InvalidReference):
        store.trash.restore("1", name="X")


def test_an_entry_whose_bytes_are_gone_is_not_restored(store: Store) -> None:
    before = blobs(store)
    store.remove(["other:1"], keep=0)
    own = before - blobs(store)
    store.load(io.BytesIO(ELSE))
    store.remove(["other:1"], keep=DAY)
    os.unlink(os.path.join(directory_of(store).blobs.directory, min(own)))

    with pytest.raises(Damaged, match="is missing or of another size"):
        store.trash.restore("other:1")

    assert [f.object for f in store.check().findings if "the trash" in f.text]
    assert store.trash.empty("other:1").entries


@pytest.mark.parametrize("act", ["rmi", "prune", "load", "gc"])
def test_what_has_expired_goes_with_the_next_change(store: Store, act: str) -> None:
    remove_app(store, keep=LONG_AGO)
    store.remove(["other:1"], keep=DAY)
    acts: dict[str, Callable[[], object]] = {
        "rmi": lambda: store.remove(["nosuch"]),
        "prune": store.prune,
        "load": lambda: store.load(io.BytesIO(docker_archive())),
        "gc": store.gc,
    }
    acts[act]()

    assert [entry.names[0].familiar for entry in store.trash.list()] == ["other:1"]
    assert store.check().clean
    assert blobs(store) == {state.digest.hex for state in store.session.view().all_blobs()}


def test_a_removal_empties_a_bounded_number_of_expired_entries_and_gc_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(40):
        store.tag("app:1", "new:1")
        with store.session.change() as change:
            monkeypatch.setattr(change.index, "drop_expired_trash", lambda *_: 0)
            from casstore.change.removal import remove_images

            remove_images(change, ["new:1"], force=False, prune=True, glob=False,
                          verbose=False, keep=1)  # fmt: skip
    assert len(store.trash.list()) == 40

    store.remove(["nosuch"])
    assert len(store.trash.list()) == 24
    store.gc()
    assert store.trash.list() == []


def test_gc_leaves_what_has_not_expired_unless_told_to_empty_the_trash(store: Store) -> None:
    remove_app(store)
    store.gc()
    assert len(store.trash.list()) == 1
    before = blobs(store)

    would = store.gc(dry_run=True, empty_trash=True)
    assert blobs(store) == before
    did = store.gc(empty_trash=True)

    assert (did.removed_blobs, did.freed) == (would.removed_blobs, would.freed)
    assert did.removed_blobs == len(before - blobs(store)) > 0
    assert store.trash.list() == []


def test_a_load_finds_its_blobs_in_the_trash(store: Store) -> None:
    before = blobs(store)
    remove_app(store)

    store.load(io.BytesIO(CHAIN))
    store.trash.empty()

    assert blobs(store) == before
    assert names(store) == ["app:1", "app:2", "other:1", "shop/app:1"]
    assert store.check().clean


def test_a_dry_run_keeps_nothing(store: Store) -> None:
    store.remove(["other:1"], keep=DAY, dry_run=True)

    assert store.trash.list() == []
    assert "other:1" in names(store)


def test_a_removal_that_is_refused_leaves_no_entry(store: Store) -> None:
    result = store.remove([sha256(TOP_CONFIG).short], keep=DAY)

    assert result.outcomes[0].error is not None
    assert result.outcomes[0].trash is None
    assert store.trash.list() == []


def test_a_pin_comes_back_with_its_image(store: Store) -> None:
    connection = view_of(store).connection
    connection.execute("INSERT INTO pin SELECT image FROM reference WHERE name LIKE '%/other:1'")
    store.remove(["other:1"], keep=DAY, force=True)
    assert connection.execute("SELECT count(*) FROM pin").fetchone()[0] == 0

    store.trash.restore("other:1")

    pinned = "SELECT count(*) FROM pin WHERE image IN (SELECT image FROM reference)"
    assert view_of(store).connection.execute(pinned).fetchone()[0] == 1


def test_the_setting_keeps_and_an_argument_overrides_it(store: Store) -> None:
    store.settings.set("trash.keep", "7d")
    store.remove(["other:1"])
    store.prune(all=True, keep=0)

    (entry,) = store.trash.list()
    assert entry.expires - entry.removed == 7 * 86400 * 10**9
    store.trash.restore("other:1")
    store.settings.unset("trash.keep")
    store.remove(["other:1"])
    assert store.trash.list() == []


def test_df_shows_what_the_trash_alone_holds(store: Store) -> None:
    before = store.df()
    remove_app(store)
    store.remove(["other:1"], keep=DAY)
    size = sum(entry.size for entry in store.trash.list())

    usage = store.df()

    assert (before.trash, before.trash_bytes) == (0, 0)
    assert (usage.trash, usage.trash_bytes, usage.stored) == (2, size, before.stored)
    assert (usage.images, usage.reclaimable) == (0, 0)


def test_a_clone_has_the_trash_too(store: Store, tmp_path: Path) -> None:
    remove_app(store)
    store.clone(str(tmp_path / "copy"))

    with Store(str(tmp_path / "copy")) as copy:
        copy.trash.restore("app:1")
        assert copy.check().clean


def test_a_rebuild_carries_the_trash_settings_leases_and_pins_over(store: Store) -> None:
    before = store.images(all=True)
    remove_app(store)
    store.settings.set("trash.keep", "7d")
    store.leases.add("held", "other:1")
    view_of(store).connection.execute("INSERT INTO pin SELECT image FROM reference LIMIT 1")
    trash, settings, leases = store.trash.list(), store.settings.list(), store.leases.list()

    assert store.check(rebuild=True).clean

    assert (store.trash.list(), store.settings.list(), store.leases.list()) == (
        trash,
        settings,
        leases,
    )
    pins = "SELECT count(*) FROM pin JOIN image ON image.id = pin.image"
    assert view_of(store).connection.execute(pins).fetchone()[0] == 1
    store.gc()
    store.trash.restore("app:1")
    store.pin("other:1", pinned=False)
    assert store.images(all=True) == before
    assert store.check().clean


def test_a_rebuild_leaves_out_what_of_the_trash_it_cannot_read(store: Store) -> None:
    remove_app(store)
    store.remove(["other:1"], keep=DAY)
    store.load(io.BytesIO(docker_archive({"layers": [LATER], "tags": ["later:1"]})))
    store.remove(["later:1"], keep=DAY)
    kept = _tops(store, 2)
    blobs = store.session.view().all_blobs()
    (manifest,) = {one.digest for one in blobs if one.kind == "manifest" and one.digest in kept}
    os.unlink(directory_of(store).blobs.path(manifest))

    repaired = store.check(rebuild=True).repaired

    assert [line for line in repaired if line.startswith("entry 2 of the trash: ")]
    assert [entry.id for entry in store.trash.list()] == [3, 1]


def test_a_rebuild_carries_no_setting_over_that_nobody_could_have_set(store: Store) -> None:
    store.settings.set("trash.keep", "7d")
    set_behind = "INSERT OR REPLACE INTO meta (key, value) VALUES ('setting.publish', 'sometimes')"
    view_of(store).connection.execute(set_behind)

    store.check(rebuild=True)

    settings = view_of(store).connection.execute("SELECT key, value FROM meta").fetchall()
    assert ("setting.trash.keep", "7d") in settings
    assert "setting.publish" not in dict(settings)


def test_a_rebuild_takes_over_what_it_can_of_a_database_without_all_its_tables(
    store: Store,
) -> None:
    store.leases.add("held", "other:1")
    view_of(store).connection.executescript("DROP TABLE trash_image; DROP TABLE trash")

    store.check(rebuild=True)

    assert [lease.name for lease in store.leases.list()] == ["held"]
    assert store.trash.list() == []
    assert store.check().clean


def _tops(store: Store, entry: int) -> set[str]:
    from casstore.backends.local.trash import TrashTables

    return {state.digest for state in TrashTables(view_of(store)).held_by(entry)}


def test_fsck_finds_and_corrects_a_wrong_count_of_what_the_trash_holds(store: Store) -> None:
    remove_app(store)
    view_of(store).connection.execute(
        "UPDATE blob SET refcount = 7 WHERE id = (SELECT manifest FROM trash_holding LIMIT 1)"
    )
    assert [finding.code for finding in store.check().findings] == ["refcount-wrong"]

    assert store.check(repair=True).clean


def test_fsck_finds_an_entry_without_its_manifests(store: Store) -> None:
    remove_app(store)
    view_of(store).connection.execute("DELETE FROM trash_holding WHERE manifest IN"
                                     " (SELECT manifest FROM trash_name)")  # fmt: skip

    assert "trash-bad" in [finding.code for finding in store.check().findings]


def test_a_layer_that_only_the_trash_needs_is_said_to_be_needed_by_it(store: Store) -> None:
    remove_app(store)
    store.load(io.BytesIO(docker_archive({"layers": [BASE, OTHER], "tags": ["new:1"]})))

    result = store.remove(["new:1"], keep=0, verbose=True)

    assert [kept for kept in result.outcomes[0].kept if "what is in the trash" in kept]
