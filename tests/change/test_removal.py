"""rmi and prune as one change: what each argument comes to, and what they free together."""

from __future__ import annotations

import io

import pytest

from casstore.change import removal
from casstore.errors import Conflict, InvalidReference, NotFound
from casstore.model.descriptor import LAYER
from casstore.model.removal import RemovalResult
from casstore.rules.filters import BadFilter
from casstore.store import Store
from tests.change.conftest import APP, BASE, OTHER, OTHER_LAYER, stored
from tests.transfer.building import config_of, docker_archive, layer

DAY = 86400.0


def told(result: RemovalResult) -> list[tuple[str, type | None]]:
    """Each outcome: of what, and of what kind its error is."""
    return [(one.argument, type(one.error) if one.error else None) for one in result.outcomes]


def names(store: Store) -> list[str]:
    return sorted(name.familiar for image in store.images() for name in image.names)


def test_each_argument_has_an_outcome_and_one_that_fails_hinders_no_other(store: Store) -> None:
    result = store.remove(["nosuch", "other:1", "X"])

    assert told(result) == [("nosuch", NotFound), ("other:1", None), ("X", InvalidReference)]
    assert names(store) == ["app:1", "app:2"]


def test_an_argument_is_planned_on_what_the_one_before_it_left(store: Store) -> None:
    result = store.remove(["app:1", "app:2", BASE.hex])

    assert told(result) == [("app:1", None), ("app:2", None), (BASE.hex, NotFound)]


def test_what_the_arguments_free_counts_together(store: Store) -> None:
    before = stored(store)
    result = store.remove(["app:1", "app:2", "other:1"])

    assert result.freed == before
    assert stored(store) == 0


@pytest.mark.parametrize(
    ("arguments", "force", "status"),
    [
        (["other:1"], False, 0),
        (["nosuch"], False, 1),
        (["nosuch"], True, 0),
        (["nosuch", "other:1"], True, 0),
        (["X"], True, 1),
        (["nosuch", "X"], True, 1),
        ([BASE.hex], True, 1),
    ],
)
def test_force_forgives_what_is_not_there_and_nothing_else(
    store: Store, arguments: list[str], *, force: bool, status: int
) -> None:
    assert store.remove(arguments, force=force).exit_code == status


# Patterns


def test_a_pattern_means_every_name_that_it_fits(store: Store) -> None:
    assert told(store.remove(["app:*"], glob=True)) == [("app:1", None), ("app:2", None)]


@pytest.mark.parametrize("pattern", ["nosuch*", "nosuch?", "[n]osuch"])
def test_a_pattern_that_fits_nothing_is_an_outcome_of_its_own(store: Store, pattern: str) -> None:
    result = store.remove([pattern, "other:1"], glob=True)

    assert told(result) == [(pattern, NotFound), ("other:1", None)]
    assert str(result.outcomes[0].error) == f'No image fits the pattern "{pattern}"'
    assert result.exit_code == 1


def test_a_name_that_a_pattern_fits_and_that_must_stay_hinders_no_other(store: Store) -> None:
    store.pin("app:1")

    assert told(store.remove(["*"], glob=True)) == [
        ("app:1", None), ("app:2", Conflict), ("other:1", None),
    ]  # fmt: skip


def test_a_pattern_that_is_none_is_told_also_where_there_is_no_name(store: Store) -> None:
    store.prune(all=True)

    assert told(store.remove(["app:["], glob=True)) == [("app:[", BadFilter)]


def test_a_pattern_that_is_none_is_an_outcome_of_its_own(store: Store) -> None:
    assert told(store.remove(["app:[", "other:1"], glob=True)) == [
        ("app:[", BadFilter), ("other:1", None),
    ]  # fmt: skip


def test_without_a_star_an_argument_means_what_it_means_without_patterns(store: Store) -> None:
    assert told(store.remove([OTHER.short, "nosuch"], glob=True)) == [
        (OTHER.short, None), ("nosuch", NotFound),
    ]  # fmt: skip


def test_without_patterns_a_star_is_part_of_a_name_that_is_none(store: Store) -> None:
    assert told(store.remove(["app:*"])) == [("app:*", InvalidReference)]


# What is kept, and why


def shared(store: Store) -> str:
    """Let another image have the layer of `other`; its hex digits."""
    more = {"layers": [OTHER_LAYER, layer("more")], "tags": ["more:1"]}
    store.load(io.BytesIO(docker_archive(more)))
    view = store.session.view()
    (manifest,) = view.manifests_of(OTHER)
    return next(one.digest.hex for one in view.needs_of(manifest.digest) if one.kind == LAYER)


def test_a_layer_that_stays_is_told_with_the_images_that_need_it(store: Store) -> None:
    blob = shared(store)

    (outcome,) = store.remove(["other:1"], verbose=True).outcomes

    assert outcome.kept == (f"{blob} is still needed by more:1",)


def test_an_image_without_a_name_is_told_by_its_id(store: Store) -> None:
    blob = shared(store)
    image = store.get("more:1").id
    store.load(io.BytesIO(docker_archive({"layers": [layer("new")], "tags": ["more:1"]})))

    (outcome,) = store.remove(["other:1"], verbose=True).outcomes

    assert outcome.kept == (f"{blob} is still needed by {image.short}",)


def test_a_layer_that_only_the_trash_needs_is_told_so(store: Store) -> None:
    blob = shared(store)
    store.remove(["more:1"], keep=DAY)

    (outcome,) = store.remove(["other:1"], verbose=True, keep=0).outcomes

    assert outcome.kept == (f"{blob} is still needed by what is in the trash",)


def test_nothing_is_told_where_nobody_asks(store: Store) -> None:
    shared(store)

    assert store.remove(["other:1"]).outcomes[0].kept == ()


# The trash


def test_what_is_kept_is_an_entry_of_the_trash_and_frees_nothing(store: Store) -> None:
    result = store.remove(["other:1"], keep=DAY)

    assert result.freed == 0
    assert [result.outcomes[0].trash] == [entry.id for entry in store.trash.list()]


def test_without_a_time_to_keep_there_is_no_entry(store: Store) -> None:
    assert store.remove(["other:1"]).outcomes[0].trash is None
    assert store.trash.list() == []


def test_the_store_s_setting_keeps_where_nothing_is_said(store: Store) -> None:
    store.settings.set("trash.keep", "1h")
    store.remove(["other:1"])
    (entry,) = store.trash.list()

    assert entry.expires - entry.removed == 3600 * 10**9


@pytest.mark.parametrize(("keep", "entries"), [(0.0, 0), (DAY, 1)])
def test_what_is_said_counts_before_the_setting(store: Store, keep: float, entries: int) -> None:
    store.settings.set("trash.keep", "1h")
    store.remove(["other:1"], keep=keep)

    assert [entry.expires - entry.removed for entry in store.trash.list()] == [
        int(DAY * 10**9)
    ] * entries


@pytest.mark.parametrize("act", ["remove", "prune"])
def test_what_has_expired_goes_first(store: Store, act: str) -> None:
    store.remove(["other:1"], keep=1e-9)
    if act == "remove":
        store.remove(["nosuch"])
    else:
        store.prune()

    assert store.trash.list() == []


# prune


def test_prune_removes_what_dangles_and_counts_what_it_frees(store: Store) -> None:
    store.load(io.BytesIO(docker_archive({"layers": [layer("new")], "tags": ["other:1"]})))
    before = stored(store)
    result = store.prune()

    assert [line.text for line in result.removed if line.role == "image"] == [OTHER.hex]
    assert result.freed == before - stored(store) > 0
    assert result.reclaimed == sum(line.file_bytes for line in result.removed) > 0


def test_prune_of_all_takes_every_image(store: Store) -> None:
    before = stored(store)

    assert store.prune(all=True).freed == before
    assert store.images(all=True) == []


def test_prune_leaves_what_is_in_use_and_goes_on(store: Store) -> None:
    store.leases.add("job", "app:1")
    result = store.prune(all=True)

    assert [image.id for image in store.images()] == [APP]
    assert [line.text for line in result.removed if line.role == "reference"] == [
        "app:1", "other:1",
    ]  # fmt: skip


def test_prune_can_keep_what_it_removes(store: Store) -> None:
    result = store.prune(all=True, keep=DAY)

    assert result.freed == 0
    assert len(store.trash.list()) == 2


@pytest.mark.parametrize("value", ["false", "0"])
def test_prune_of_all_but_what_dangles_is_refused_and_nothing_goes(
    store: Store, value: str
) -> None:
    with pytest.raises(BadFilter, match=r"use -a to remove all images$"):
        store.prune(all=True, filters=[f"dangling={value}"])

    assert names(store) == ["app:1", "app:2", "other:1"]


@pytest.mark.parametrize("value", ["true", "1"])
def test_prune_of_what_dangles_is_what_prune_does(store: Store, value: str) -> None:
    store.prune(filters=[f"dangling={value}"])

    assert names(store) == ["app:1", "app:2", "other:1"]


def test_a_filter_by_another_image_goes_by_when_that_was_built(store: Store) -> None:
    store.prune(all=True, filters=["before=app:1"])

    assert names(store) == ["app:1", "app:2"]


def test_an_image_that_does_not_say_when_it_was_built_is_older_than_all(store: Store) -> None:
    undated = {"layers": [layer("new")], "config": config_of(layer("new")), "tags": ["undated:1"]}
    config = config_of(layer("old"), created="1969-01-01T00:00:00Z")
    old = {"layers": [layer("old")], "config": config, "tags": ["old:1"]}
    store.load(io.BytesIO(docker_archive(undated, old)))
    store.prune(all=True, filters=["before=undated:1"])

    assert "old:1" in names(store)


def test_what_is_no_boolean_number_for_images_is_one_for_prune(store: Store) -> None:
    view = store.session.view()

    assert removal.parsed_filters(view, ["dangling=1"], numeric=True).dangling
    with pytest.raises(BadFilter):
        removal.parsed_filters(view, ["dangling=1"])


# A dry run


@pytest.mark.parametrize("glob", [True, False])
def test_a_dry_run_says_the_same_and_changes_nothing(store: Store, *, glob: bool) -> None:
    before = store.images(all=True)
    arguments = ["app:*", "other:1"] if glob else ["app:1", "app:2", "other:1"]

    would = store.remove(arguments, glob=glob, dry_run=True)

    assert store.images(all=True) == before
    assert would == store.remove(arguments, glob=glob)


def test_a_dry_run_sees_hard_leases(store: Store) -> None:
    with store.leases.hold("other:1"):
        (outcome,) = store.remove(["other:1"], dry_run=True).outcomes

    assert isinstance(outcome.error, Conflict)


def test_a_dry_run_after_a_dry_run_finds_the_store_as_it_was(store: Store) -> None:
    first = store.remove(["other:1"], dry_run=True)

    assert store.remove(["other:1"], dry_run=True) == first
