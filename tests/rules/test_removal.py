"""Section "rmi": what goes, what stays, what is refused, and what is said of it."""

from __future__ import annotations

import pytest

from casstore.errors import Conflict, NotFound
from casstore.model.digest import Digest
from casstore.model.removal import RemovalPlan
from casstore.rules.removal import plan_deletion, plan_removal, plan_unnamed, without_freeing
from tests.rules.world import (
    CONFIG_SIZE,
    FILE_BYTES,
    LAYER_SIZE,
    MANIFEST_SIZE,
    World,
    digest_of,
    lines_of,
)

DIGEST, OTHER_DIGEST = digest_of("a manifest"), digest_of("another manifest")


@pytest.fixture
def world() -> World:
    return World()


def deleted(*names: str | Digest) -> list[str]:
    return [f"Deleted: {n.hex if isinstance(n, Digest) else digest_of(n).hex}" for n in names]


def refused(world: World, argument: str, *, force: bool = False) -> Conflict:
    with pytest.raises(Conflict) as caught:
        plan_removal(world, argument, force=force)
    return caught.value


# By name


def test_the_last_name_takes_the_image_and_its_layers_along(world: World) -> None:
    image = world.image("busybox", layers="base top", tags="busybox")

    assert world.remove("busybox") == [
        "Untagged: busybox:latest",
        *deleted(image, "top", "base"),
    ]


def test_a_name_that_is_not_the_last_only_goes_itself(world: World) -> None:
    image = world.image("busybox", layers="base", tags="a b")

    assert world.remove("a") == ["Untagged: a:latest"]
    assert world.has_image(image)


def test_what_is_untagged_is_shown_in_familiar_form_as_typed(world: World) -> None:
    world.image("busybox", tags=f"a busybox:1 busybox@{DIGEST}")

    assert world.remove(f"docker.io/library/busybox:1@{DIGEST}") == [
        f"Untagged: busybox:1@{DIGEST}"
    ]


def test_the_digests_of_a_repository_go_with_its_last_tag(world: World) -> None:
    world.image("one", tags=f"keep a:1 a@{DIGEST} a@{OTHER_DIGEST}")

    assert world.remove("a:1") == [
        "Untagged: a:1", f"Untagged: a@{DIGEST}", f"Untagged: a@{OTHER_DIGEST}",
    ]  # fmt: skip


def test_the_digests_of_a_repository_stay_while_a_tag_of_it_is_left(world: World) -> None:
    world.image("one", tags=f"a:1 a:2 a@{DIGEST}")

    assert world.remove("a:1") == ["Untagged: a:1"]


def test_the_digests_of_another_repository_stay(world: World) -> None:
    image = world.image("one", tags=f"a:1 b@{DIGEST}")

    assert world.remove("a:1") == ["Untagged: a:1"]
    assert world.has_image(image)


def test_the_last_digest_reference_takes_the_image_along(world: World) -> None:
    image = world.image("one", layers="base", tags=f"a@{DIGEST}")

    assert world.remove(f"a@{DIGEST}") == [f"Untagged: a@{DIGEST}", *deleted(image, "base")]


def test_the_name_of_an_image_with_children_goes_and_the_image_stays(world: World) -> None:
    base = world.image("base", tags="base")
    world.image("app", tags="app", parent=base)

    assert world.remove("base") == ["Untagged: base:latest"]
    assert world.has_image(base)


def test_force_by_name_removes_that_name_only(world: World) -> None:
    world.image("one", tags="a b")

    assert world.remove("a", force=True) == ["Untagged: a:latest"]


# By ID


def test_an_id_stands_for_a_single_name(world: World) -> None:
    image = world.image("one", layers="base", tags="a")

    assert world.remove(image.short) == ["Untagged: a:latest", *deleted(image, "base")]


def test_an_id_stands_for_one_tag_and_the_digests_of_one_repository(world: World) -> None:
    image = world.image("one", tags=f"a:1 a@{DIGEST} a@{OTHER_DIGEST}")

    assert len(world.remove(image)) == 4


@pytest.mark.parametrize("tags", ["a:1 a:2", "a b", f"a:1 b@{DIGEST}", f"a@{DIGEST} b@{DIGEST}"])
def test_several_names_are_a_conflict_that_force_overrides(world: World, tags: str) -> None:
    image = world.image("one", tags=tags)

    error = refused(world, image.short)

    assert str(error) == (
        f"Conflict, cannot delete image {image.short} because it is tagged in multiple"
        " repositories, use -f to force"
    )
    assert error.forceable


def test_force_untags_it_everywhere_in_attach_order_and_deletes_it(world: World) -> None:
    image = world.image("one", layers="base top", tags="test1 test test2")

    assert world.remove(image.short, force=True) == [
        "Untagged: test1:latest", "Untagged: test:latest", "Untagged: test2:latest",
        *deleted(image, "top", "base"),
    ]  # fmt: skip


def test_a_name_that_moved_away_and_back_is_new_there(world: World) -> None:
    image, other = world.image("one", tags="a b"), world.image("two")
    world.name(other, "a")
    world.name(image, "a")

    assert world.remove(image, force=True)[:2] == ["Untagged: b:latest", "Untagged: a:latest"]


def test_an_image_without_a_name_goes_by_its_id(world: World) -> None:
    image = world.image("one", layers="base")

    assert world.remove(image.short) == deleted(image, "base")


def test_a_name_that_is_a_prefix_of_its_id_is_refused_like_an_id(world: World) -> None:
    world.image("one", id="cafe8689", tags="caf other")

    assert refused(world, "caf").forceable
    assert world.remove("caf:latest") == ["Untagged: caf:latest"]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("tags", ["", "a", "a b"])
def test_children_forbid_a_removal_by_id_forced_or_not(
    world: World, tags: str, *, force: bool
) -> None:
    base = world.image("base", tags=tags)
    world.image("app", tags="app", parent=base)

    error = refused(world, base.short, force=force)

    assert str(error) == (
        f"Conflict, cannot delete image {base.short} because it has dependent child images"
    )
    assert not error.forceable


# Leases


def test_a_soft_lease_forbids_a_removal_by_id_unless_forced(world: World) -> None:
    image = world.image("one", tags="a")
    world.lease(image, "ci")

    assert str(refused(world, image.short)) == (
        f"Conflict, cannot delete image {image.short} because it is held by soft lease ci,"
        " use -f to force"
    )
    assert world.remove(image, force=True) == ["Untagged: a:latest", *deleted(image)]


def test_a_hard_lease_forbids_a_removal_by_id_even_if_forced(world: World) -> None:
    image = world.image("one", tags="a")
    world.lease(image, "run", hard=True)

    error = refused(world, image.short, force=True)

    assert str(error).endswith("because it is held by hard lease run")
    assert not error.forceable


@pytest.mark.parametrize("hard", [False, True])
def test_any_lease_forbids_the_removal_of_the_last_name(world: World, *, hard: bool) -> None:
    image = world.image("one", tags="a")
    world.lease(image, "x", hard=hard)

    error = refused(world, "a")

    kind = "hard" if hard else "soft"
    assert str(error) == (
        "Conflict, cannot delete image a because its last reference is held by"
        f" {kind} lease x, use -f to force"
    )


def test_a_leased_image_can_lose_a_name_that_is_not_its_last(world: World) -> None:
    image = world.image("one", tags="a b")
    world.lease(image, "x", hard=True)

    assert world.remove("a") == ["Untagged: a:latest"]


def test_force_takes_the_last_name_of_a_hard_leased_image_and_keeps_the_image(
    world: World,
) -> None:
    image = world.image("one", tags="a")
    world.lease(image, "x", hard=True)

    assert world.remove("a", force=True) == ["Untagged: a:latest"]
    assert world.has_image(image)


def test_the_first_conflict_told_is_the_children_then_the_hard_lease_then_the_names(
    world: World,
) -> None:
    base = world.image("base", tags="a b")
    child = world.image("child", parent=base)
    world.lease(base, "soft")
    world.lease(base, "hard", hard=True)

    assert "dependent child images" in str(refused(world, base))
    world.remove(child, prune=False)
    assert "hard lease" in str(refused(world, base))
    world.leases[base].pop(0)
    assert "multiple repositories" in str(refused(world, base))


def test_a_conflict_knows_its_cause_for_whoever_says_it_in_other_words(world: World) -> None:
    base = world.image("base", tags="a b")
    world.image("child", parent=base)
    twice = world.image("twice", tags="c d")
    held = world.image("held", tags="e")
    world.lease(held, "job", hard=True)

    found = [refused(world, argument) for argument in (base, twice.short, held.short, "e")]

    assert [(one.cause, one.argument, one.image, one.lease) for one in found] == [
        ("children", base, base, ""),
        ("names", twice.short, twice, ""),
        ("lease", held.short, held, "job"),
        ("last name", "e", held, "job"),
    ]


# Parents


def chain(world: World) -> dict[str, Digest]:
    """base:1 <- m <- n (config only) <- app:1."""
    base = world.image("base", layers="b1 b2", tags="base:1")
    m = world.image("m", layers="b1 b2 m1", parent=base)
    n = world.image("n", layers="b1 b2 m1", parent=m)
    app = world.image("app", layers="b1 b2 m1 a1", tags="app:1", parent=n)
    return {"base": base, "m": m, "n": n, "app": app}


def test_parents_without_a_name_go_with_their_last_child(world: World) -> None:
    images = chain(world)
    world.remove("base:1")

    assert world.remove("app:1") == [
        "Untagged: app:1", *deleted(images["app"], "a1"), *deleted(images["n"]),
        *deleted(images["m"], "m1"), *deleted(images["base"], "b2", "b1"),
    ]  # fmt: skip


def test_pruning_stops_at_a_parent_with_a_name(world: World) -> None:
    images = chain(world)

    world.remove("app:1")

    assert list(world.facts) == [images["base"]]


def test_pruning_stops_at_a_parent_with_another_child(world: World) -> None:
    images = chain(world)
    other = world.image("other", parent=images["m"])

    world.remove("app:1")

    assert list(world.facts) == [images["base"], images["m"], other]


@pytest.mark.parametrize("hard", [False, True])
def test_pruning_stops_at_a_leased_parent_even_if_forced(world: World, *, hard: bool) -> None:
    images = chain(world)
    world.lease(images["n"], "x", hard=hard)

    world.remove("app:1", force=True)

    assert images["n"] in world.facts


def test_without_pruning_parents_stay_and_the_nearest_can_be_removed_by_id(world: World) -> None:
    images = chain(world)

    assert world.remove("app:1", prune=False) == ["Untagged: app:1", *deleted(images["app"], "a1")]
    assert world.remove(images["n"].short) == [*deleted(images["n"]), *deleted(images["m"], "m1")]


def test_layers_shared_without_a_recorded_parent_prune_nothing(world: World) -> None:
    base = world.image("base", layers="b1")
    world.image("app", layers="b1 a1", tags="app")

    world.remove("app")

    assert list(world.facts) == [base]


# Layers and bytes


def test_a_layer_that_another_image_holds_stays(world: World) -> None:
    old = world.image("old", layers="base app-1", tags="app:1")
    world.image("new", layers="base app-2", tags="app:2")

    plan = plan_removal(world, old)

    assert lines_of(plan) == ["Untagged: app:1", *deleted(old, "app-1")]
    assert plan.kept == ((old, digest_of("base")),)


def test_a_layer_used_twice_is_printed_once_at_its_topmost_place(world: World) -> None:
    image = world.image("one", layers="a empty b empty a", tags="x")

    assert world.remove("x")[1:] == deleted(image, "a", "empty", "b")


def test_a_plan_frees_its_documents_before_what_they_need(world: World) -> None:
    image = world.image("one", layers="base top")

    free = plan_removal(world, image).free

    assert free == (digest_of("manifest of one"), digest_of("top"), digest_of("base"), image)


def test_the_freed_bytes_are_those_of_documents_and_freed_layers(world: World) -> None:
    image = world.image("one", layers="shared own", tags="a")
    world.image("two", layers="shared")

    plan = plan_removal(world, image)

    assert plan.freed == CONFIG_SIZE + MANIFEST_SIZE + LAYER_SIZE
    assert plan.freed == sum(line.size for line in plan.lines)
    assert sum(line.file_bytes for line in plan.lines) == FILE_BYTES


def test_an_image_with_two_manifests_frees_both(world: World) -> None:
    image = world.image("one", layers="zstd", manifest="m1", tags="a")
    world.image("one", layers="gzip", manifest="m2")

    assert world.remove("a") == ["Untagged: a:latest", *deleted(image, "zstd", "gzip")]
    assert world.blobs == {}


def test_a_manifest_goes_with_its_last_name_while_the_image_lives_on(world: World) -> None:
    image = world.image("one", layers="zstd", manifest="m1", tags="a")
    world.image("one", layers="gzip", manifest="m2")
    world.name(image, "b", digest_of("m2"))

    plan = plan_removal(world, "b")

    assert lines_of(plan) == ["Untagged: b:latest", *deleted("gzip")]
    assert plan.detach == ((image, digest_of("m2")),)


# One after the other


def test_a_second_removal_sees_the_state_that_the_first_left(world: World) -> None:
    image = world.image("one", tags="a b")

    assert world.remove("a") == ["Untagged: a:latest"]
    assert world.remove("b") == ["Untagged: b:latest", *deleted(image)]
    with pytest.raises(NotFound):
        world.remove("b")


def test_a_plan_changes_nothing(world: World) -> None:
    image = world.image("one", layers="base", tags="a")

    assert plan_removal(world, "a") == plan_removal(world, "a")
    assert world.has_image(image)


@pytest.mark.parametrize("by_id", [True, False])
@pytest.mark.parametrize("held_by", ["pin", "soft lease"])
def test_a_refusal_that_force_overrides_says_so(world: World, held_by: str, *, by_id: bool) -> None:
    image = world.image("one", tags="one:1")
    if held_by == "pin":
        world.pins.add(image)
    else:
        world.lease(image, "job")

    assert refused(world, image.short if by_id else "one:1").forceable


def test_without_a_word_about_it_nothing_is_forced_and_parents_go_along(world: World) -> None:
    base = world.image("base")
    child = world.image("child", tags="child", parent=base)

    assert plan_removal(world, "child").delete == (child, base)
    world.pins.add(child)
    with pytest.raises(Conflict):
        plan_removal(world, "child")


# By a policy


@pytest.mark.parametrize("held_by", ["pin", "soft lease"])
def test_a_policy_forces_nothing(world: World, held_by: str) -> None:
    image = world.image("one", tags="one:1")
    if held_by == "pin":
        world.pins.add(image)
    else:
        world.lease(image, "job")

    with pytest.raises(Conflict):
        plan_deletion(world, image, spare=lambda _: False)


def test_a_policy_takes_all_names_in_however_many_repositories(world: World) -> None:
    image = world.image("one", tags="a:1 b:1 b:2")

    plan = plan_deletion(world, image, spare=lambda _: False)

    assert lines_of(plan) == ["Untagged: a:1", "Untagged: b:1", "Untagged: b:2", *deleted(image)]


def test_an_ancestor_that_a_policy_spares_stays(world: World) -> None:
    base = world.image("base")
    child = world.image("child", tags="child", parent=base)

    assert plan_deletion(world, child, spare=lambda image: image == base).delete == (child,)


# Because a name has moved


def moved(world: World, image: Digest, manifest: str) -> RemovalPlan:
    """What goes when a manifest of `image` may have lost its last name."""
    return plan_unnamed(world, image, digest_of(manifest))


def test_a_manifest_that_lost_its_last_name_goes_where_another_is_named(world: World) -> None:
    image = world.image("one", layers="old", manifest="first")
    world.image("one", layers="new", manifest="second")
    world.name(image, "app:1", digest_of("second"))

    plan = moved(world, image, "first")

    assert plan.detach == ((image, digest_of("first")),)
    assert plan.free == (digest_of("first"), digest_of("old"))


def test_a_manifest_with_a_name_left_stays(world: World) -> None:
    image = world.image("one", manifest="first", tags="app:1")

    assert moved(world, image, "first").detach == ()


def test_an_image_without_any_name_keeps_what_it_holds(world: World) -> None:
    image = world.image("one", manifest="first")

    assert moved(world, image, "first").detach == ()


# Into the trash


def test_a_removal_into_the_trash_frees_nothing_and_tells_of_no_layer(world: World) -> None:
    image = world.image("one", layers="base", tags="one:1")

    plan = without_freeing(plan_removal(world, "one:1"))

    assert lines_of(plan) == ["Untagged: one:1", *deleted(image)]
    assert {(line.size, line.file_bytes) for line in plan.lines} == {(0, 0)}
    assert (plan.free, plan.freed, plan.kept) == ((), 0, ())


def test_a_removal_into_the_trash_takes_the_same_names_and_images(world: World) -> None:
    world.image("one", layers="base", tags="one:1")
    planned = plan_removal(world, "one:1")

    plan = without_freeing(planned)

    assert (plan.untag, plan.detach, plan.delete) == (planned.untag, (), planned.delete)


# Artifacts with a subject


def signed() -> tuple[World, Digest, Digest]:
    """An image, and what refers to it."""
    world = World()
    app = world.image("app", layers="base", tags="app:1")
    return world, app, world.image("signature", layers="payload", subject=app)


def test_an_artifact_goes_with_its_subject() -> None:
    world, app, signature = signed()

    assert world.remove("app:1") == [
        "Untagged: app:1",
        f"Deleted: {app.hex}",
        f"Deleted: {digest_of('base').hex}",
        f"Deleted: {signature.hex}",
        f"Deleted: {digest_of('payload').hex}",
    ]
    assert not world.blobs


def test_an_artifact_stays_while_its_subject_has_a_name() -> None:
    world, app, signature = signed()
    world.name(app, "app:2")
    world.remove("app:1")

    assert world.has_image(signature)


def test_what_refers_to_an_artifact_goes_with_it() -> None:
    world, _, signature = signed()
    of_signature = world.image("signature of the signature", subject=signature)
    world.remove("app:1")

    assert not world.has_image(of_signature)


def test_a_tag_of_cosigns_form_goes_with_its_subject_and_so_does_its_digest() -> None:
    world = World()
    app = world.image("app", tags="host/app:1")
    manifest = world.holdings[app][0]
    signature = world.image("signature", tags=f"host/app:sha256-{manifest.hex}.sig")
    digest = world.holdings[signature][0]
    world.name(signature, f"host/app@{digest}")

    assert world.remove("host/app:1") == [
        "Untagged: host/app:1",
        f"Deleted: {app.hex}",
        f"Untagged: host/app:sha256-{manifest.hex}.sig",
        f"Untagged: host/app@{digest}",
        f"Deleted: {signature.hex}",
    ]


@pytest.mark.parametrize("name", ["mine:1", "mine@sha256:" + "0" * 64])
def test_an_artifact_with_a_name_of_its_own_stays(name: str) -> None:
    world, _, signature = signed()
    world.name(signature, name)
    world.remove("app:1")

    assert world.has_image(signature)


def test_an_artifact_with_a_tag_of_its_own_beside_that_of_its_subject_stays() -> None:
    world = World()
    app = world.image("app", tags="app:1")
    tag = f"app:sha256-{world.holdings[app][0].hex}.sig"
    signature = world.image("signature", tags=f"{tag} app:signature")
    world.remove("app:1")

    assert world.has_image(signature)


def test_an_artifact_that_stays_keeps_no_other_from_going() -> None:
    world, app, held = signed()
    world.lease(held, "audit")
    other = world.image("another signature", subject=app)
    world.remove("app:1")

    assert world.has_image(held)
    assert not world.has_image(other)


def test_the_artifacts_of_each_manifest_of_an_image_go_with_it() -> None:
    world = World()
    image = world.image("app", layers="one", manifest="first", tags="app:1")
    world.image("app", layers="two", manifest="second")
    tag = f"signatures:sha256-{digest_of('second').hex}.sig"
    signature = world.image("signature", tags=tag)
    world.remove(image.hex)

    assert not world.has_image(signature)


def test_an_artifact_of_two_manifests_that_go_at_once_is_told_once() -> None:
    world = World()
    image = world.image("app", manifest="first", tags="app:1")
    world.image("app", manifest="second")
    tags = (f"signatures:sha256-{digest_of(one).hex}" for one in ("first", "second"))
    signature = world.image("signature", tags=" ".join(tags))

    assert world.remove(image.hex).count(f"Deleted: {signature.hex}") == 1


def test_what_is_called_after_a_layer_does_not_go_with_the_layer() -> None:
    world = World()
    world.image("app", layers="base", tags="app:1")
    other = world.image("other", tags=f"app:sha256-{digest_of('base').hex}.sig")
    world.remove("app:1")

    assert world.has_image(other)


def test_an_artifact_that_a_lease_holds_stays() -> None:
    world, _, signature = signed()
    world.lease(signature, "audit")
    world.remove("app:1")

    assert world.has_image(signature)


@pytest.mark.parametrize("built_first", [False, True])
def test_artifacts_that_are_built_on_each_other_go_whichever_is_looked_at_first(
    *, built_first: bool
) -> None:
    world, app, signature = signed()
    if built_first:
        other = world.image("base", subject=app)
        world.facts[signature] = world.facts[signature]._replace(parent=other)
    else:
        other = world.image("on it", subject=app, parent=signature)
    world.remove("app:1")

    assert not world.has_image(signature) and not world.has_image(other)


def test_an_artifact_that_another_image_is_built_on_stays() -> None:
    world, app, signature = signed()
    world.image("artifact on it", subject=app, parent=signature)
    world.image("child", tags="child:1", parent=signature)
    world.remove("app:1")

    assert world.has_image(signature)


def test_an_artifact_of_two_subjects_goes_with_the_last() -> None:
    world, _, signature = signed()
    other = world.image("other", tags="other:1")
    world.name(signature, f"sig:sha256-{world.holdings[other][0].hex}.sig")
    world.remove("app:1")
    assert world.has_image(signature)
    world.remove("other:1")

    assert not world.has_image(signature)


# Pins


def test_a_pinned_image_goes_by_id_only_by_force(world: World) -> None:
    image = world.image("one", tags="one:1")
    world.pins.add(image)

    assert str(refused(world, image.short)) == (
        f"Conflict, cannot delete image {image.short} because it is pinned, use -f to force"
    )
    assert world.remove(image.short, force=True)[-1] == f"Deleted: {image.hex}"


def test_the_last_name_of_a_pinned_image_goes_only_by_force(world: World) -> None:
    image = world.image("one", tags="one:1 one:2")
    world.pins.add(image)

    assert world.remove("one:1") == ["Untagged: one:1"]
    assert refused(world, "one:2").forceable
    assert world.remove("one:2", force=True)[-1] == f"Deleted: {image.hex}"


def test_a_pinned_parent_does_not_go_along_even_by_force(world: World) -> None:
    base = world.image("base")
    child = world.image("child", tags="child", parent=base)
    world.pins.add(base)

    assert world.remove(child.short, force=True) == ["Untagged: child:latest", *deleted(child)]


def test_a_parent_that_refers_to_its_child_goes_once() -> None:
    world = World()
    base = world.image("base", layers="a")
    app = world.image("app", layers="a b", tags="app:1", parent=base)
    kept = world.image("kept", layers="a", tags="kept:1")
    world.subjects[world.holdings[base][0]] = [world.holdings[app][0]]

    plan = plan_removal(world, "app:1")

    assert [line.text for line in plan.lines if line.role == "image"] == [app.hex, base.hex]
    assert digest_of("a") not in plan.free
    assert kept not in plan.delete


def test_a_name_that_frees_the_subject_of_its_own_image_is_told_once() -> None:
    world = World()
    first, second = digest_of("first"), digest_of("second")
    image = world.image("signed by itself", layers="one", manifest="first")
    world.image("signed by itself", layers="two", manifest="second")
    world.name(image, f"b@{first}", first)
    world.name(image, f"a:sha256-{first.hex}.sig", second)

    lines = world.remove(f"b@{first}")

    assert [line for line in lines if line.startswith("Untagged")] == [
        f"Untagged: b@{first}",
        f"Untagged: a:sha256-{first.hex}.sig",
    ]
