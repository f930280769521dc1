"""The policy at the door of a store: who comes in, and that a refusal changes nothing."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from casstore.errors import CasstoreError, Refused
from casstore.store import Store
from casstore.transfer.place import parse_place
from tests.store.test_signing import OTHER_PUBLIC, PRIVATE, PUBLIC
from tests.transfer.building import config_of, docker_archive, layer

ROOT = Path(__file__).resolve().parents[2]
SIGNED = ROOT / "fixtures" / "images" / "signed"
LAYERS = [layer("base")]
ARCHIVE = docker_archive({"layers": LAYERS, "config": config_of(*LAYERS), "tags": ["reg.io/app:1"]})
ANYTHING, REJECT = {"type": "insecureAcceptAnything"}, {"type": "reject"}
VENDOR = {"type": "exactRepository", "dockerRepository": "registry.example.org/signed/app"}
ANY_TAG = {"type": "matchRepository"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as store:
        yield store


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """An image and its two signatures; its bare tags are tags of `app`."""
    return Path(shutil.copytree(SIGNED / "cosign-layout", tmp_path / "layouts" / "app"))


def write(path: Path, default: Any = REJECT, **transports: Any) -> str:
    value = {
        "default": [default],
        "transports": {name.replace("_", "-"): scopes for name, scopes in transports.items()},
    }
    path.write_text(json.dumps(value))
    return str(path)


def by_key(key: str, identity: Any = VENDOR) -> dict[str, Any]:
    return {
        "type": "sigstoreSigned",
        "keyPath": str(SIGNED / "keys" / key),
        "signedIdentity": identity,
    }


def snapshot(store: Store) -> list[str]:
    """Every file of a store with its size and its time."""
    found = []
    for folder, _, files in os.walk(store.path):
        for name in files:
            status = os.stat(os.path.join(folder, name))
            found.append(f"{folder}/{name} {status.st_size}")
    return sorted(found)


def test_an_image_that_the_policy_rejects_changes_nothing(store: Store, tmp_path: Path) -> None:
    store.load(io.BytesIO(ARCHIVE))
    store.remove(["reg.io/app:1"])
    before = snapshot(store)
    with pytest.raises(Refused, match=r"^reg.io/app:1 \(sha256:.*\) is refused by the policy"):
        store.load(io.BytesIO(ARCHIVE), policy=write(tmp_path / "p.json"))

    assert store.images(all=True) == [] and snapshot(store) == before


def test_without_a_policy_everything_comes_in(store: Store) -> None:
    assert store.load(io.BytesIO(ARCHIVE)).images


def test_the_stores_own_policy_is_asked(store: Store, tmp_path: Path) -> None:
    store.load(io.BytesIO(ARCHIVE))
    own = write(Path(store.path) / "trust-policy.json")
    with pytest.raises(Refused, match="refused by the policy"):
        store.load(io.BytesIO(ARCHIVE))

    assert store.load(io.BytesIO(ARCHIVE), policy=write(tmp_path / "p.json", ANYTHING)).images
    assert store.check().clean, own


def test_a_store_can_be_made_around_its_policy(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    write(tmp_path / "new" / "trust-policy.json", ANYTHING)
    with Store(str(tmp_path / "new")) as store:
        assert store.load(io.BytesIO(ARCHIVE)).images


@pytest.mark.parametrize("content", ["", "{}", '{"default":[{"type":"x"}]}'])
def test_a_policy_that_cannot_be_understood_lets_nothing_in(
    store: Store, tmp_path: Path, content: str
) -> None:
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(Refused):
        store.load(io.BytesIO(ARCHIVE), policy=str(tmp_path / "p.json"))

    assert store.images(all=True) == []


def test_a_policy_that_is_not_there_lets_nothing_in(store: Store, tmp_path: Path) -> None:
    with pytest.raises(CasstoreError, match="is not there"):
        store.load(io.BytesIO(ARCHIVE), policy=str(tmp_path / "nosuch"))
    with Store(str(tmp_path / "other")) as other:
        other.load(io.BytesIO(ARCHIVE))
        (Path(other.path) / "trust-policy.json").symlink_to("nosuch")
        with pytest.raises(CasstoreError, match="is not there"):
            other.load(io.BytesIO(ARCHIVE))


@pytest.mark.parametrize("transport", ["docker-archive", "oci-archive", "oci", "dir"])
def test_a_load_is_of_the_transport_that_skopeo_calls_it(
    tmp_path: Path, layout: Path, transport: str
) -> None:
    with Store(str(tmp_path / "from")) as origin:
        origin.load(str(layout))
        origin.save(["app:1"], str(tmp_path / "docker.tar"))
        origin.save(["app:1"], str(tmp_path / "oci.tar"), format="oci")
        origin.save(["app:1"], str(tmp_path / "files"), format="dir")
    sources = {
        "docker-archive": tmp_path / "docker.tar",
        "oci-archive": tmp_path / "oci.tar",
        "oci": layout,
        "dir": tmp_path / "files",
    }
    policy = write(tmp_path / "p.json", **{transport.replace("-", "_"): {"": [ANYTHING]}})
    with Store(str(tmp_path / "store")) as store:
        for name, source in sources.items():
            if name == transport:
                assert store.load(str(source), policy=policy).images
            else:
                with pytest.raises(Refused, match="rejects every image"):
                    store.load(str(source), policy=policy)


def test_the_scopes_of_a_directory_of_files_are_paths_alone(
    store: Store, layout: Path, tmp_path: Path
) -> None:
    store.load(str(layout))
    store.save(["app:1"], str(tmp_path / "files"), format="dir")
    place, path = parse_place(f"dir:{tmp_path}/files"), str((tmp_path / "files").resolve())
    # "files:2" is another directory, whatever the image is called here.
    other = write(tmp_path / "p.json", dir={f"{path}:2": [ANYTHING]})
    with pytest.raises(Refused, match=r"^docker.io/shop/new:2|^shop/new:2 "):
        store.copy_in(place, "shop/new:2", policy=other)

    for scope in (path, str(tmp_path.resolve())):
        policy = write(tmp_path / "p.json", dir={scope: [ANYTHING]})
        assert store.copy_in(place, "shop/new:2", policy=policy)


def test_signatures_beside_an_image_in_a_directory_satisfy_no_policy(
    store: Store, tmp_path: Path
) -> None:
    policy = write(tmp_path / "p.json", by_key("cosign.pub"))
    with pytest.raises(Refused, match="it has no signatures"):
        store.load(str(SIGNED / "cosign-dir"), policy=policy)
    assert store.images(all=True) == []


def test_a_directory_above_is_a_scope(store: Store, layout: Path, tmp_path: Path) -> None:
    inside = {str(layout.parent.resolve()): [ANYTHING]}
    assert store.load(str(layout), policy=write(tmp_path / "p.json", oci=inside)).images
    elsewhere = {str(layout.parent.resolve()) + "x": [ANYTHING]}
    with pytest.raises(Refused):
        store.load(str(layout), policy=write(tmp_path / "p.json", oci=elsewhere))


def test_a_layout_that_brings_good_signatures_comes_in_with_them(
    store: Store, layout: Path, tmp_path: Path
) -> None:
    policy = write(tmp_path / "p.json", by_key("cosign.pub"))
    store.load(str(layout), policy=policy)

    names = {name.tag for image in store.images() for name in image.names}
    assert "1" in names and any(tag and tag.endswith(".sig") for tag in names)


def test_signatures_by_another_key_do_not_help(store: Store, layout: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(OTHER_PUBLIC)
    requirement = {**by_key("cosign.pub"), "keyPath": str(tmp_path / "other")}
    with pytest.raises(Refused, match="signature 2 was not made by this key"):
        store.load(str(layout), policy=write(tmp_path / "p.json", requirement))

    assert store.images(all=True) == []


def test_an_image_whose_signatures_are_in_the_store_comes_in(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(PUBLIC)
    policy = write(
        tmp_path / "p.json",
        {"type": "sigstoreSigned", "keyPath": str(tmp_path / "key"), "signedIdentity": ANY_TAG},
    )
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(ARCHIVE))
        with pytest.raises(Refused, match="it has no signatures"):
            store.load(io.BytesIO(ARCHIVE), policy=policy)
        store.sign(["reg.io/app:1"], PRIVATE)

        assert store.load(io.BytesIO(ARCHIVE), policy=policy).images


def test_referrers_that_arrive_count_as_signatures(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(PUBLIC)
    with Store(str(tmp_path / "from")) as origin:
        origin.load(io.BytesIO(ARCHIVE))
        (signed,) = origin.sign(["reg.io/app:1"], PRIVATE, kind="referrer")
        origin.save(["reg.io/app:1", signed.manifest.hex], str(tmp_path / "o.tar"), format="oci")
    policy = write(
        tmp_path / "p.json",
        {"type": "sigstoreSigned", "keyPath": str(tmp_path / "key"), "signedIdentity": ANY_TAG},
    )
    with Store(str(tmp_path / "store")) as store:
        assert len(store.load(str(tmp_path / "o.tar"), policy=policy).images) == 2


def test_every_name_must_satisfy_the_policy(store: Store, tmp_path: Path) -> None:
    archive = docker_archive(
        {"layers": LAYERS, "config": config_of(*LAYERS), "tags": ["good.io/app:1", "bad.io/app:1"]}
    )
    (tmp_path / "key").write_bytes(PUBLIC)
    with Store(str(tmp_path / "signer")) as signer:
        signer.load(io.BytesIO(archive))
        signer.sign(["good.io/app:1"], PRIVATE)
        tag = next(n for i in signer.images() for n in i.names if (n.tag or "").endswith(".sig"))
        signer.save(["good.io/app:1", "bad.io/app:1", tag.familiar], str(tmp_path / "o.tar"),
                    format="oci")  # fmt: skip
    requirement = {
        "type": "sigstoreSigned",
        "keyPath": str(tmp_path / "key"),
        "signedIdentity": ANY_TAG,
    }
    with pytest.raises(Refused, match=r"^bad.io/app:1 .*it has no signatures"):
        store.load(str(tmp_path / "o.tar"), policy=write(tmp_path / "p.json", requirement))


def test_an_image_cannot_come_in_as_a_signature(store: Store, tmp_path: Path) -> None:
    """A file system under `sha256-<hex>.sig` is an image, whatever its tag says."""
    with Store(str(tmp_path / "from")) as origin:
        origin.load(io.BytesIO(ARCHIVE))
        origin.sign(["reg.io/app:1"], PRIVATE)
        digest = origin.get("reg.io/app:1").manifests[0]
        other = docker_archive(
            {"layers": [layer("x")], "config": config_of(layer("x")), "tags": ["x:1"]}
        )
        origin.load(io.BytesIO(other))
        smuggled = f"reg.io/app:sha256-{digest.hex}.att"
        origin.tag("x:1", smuggled)
        origin.save(["reg.io/app:1", f"reg.io/app:sha256-{digest.hex}.sig", smuggled],
                    str(tmp_path / "o.tar"), format="oci")  # fmt: skip
    (tmp_path / "key").write_bytes(PUBLIC)
    requirement = {
        "type": "sigstoreSigned",
        "keyPath": str(tmp_path / "key"),
        "signedIdentity": ANY_TAG,
    }
    with pytest.raises(Refused, match=rf"^{smuggled} .*it has no signatures"):
        store.load(str(tmp_path / "o.tar"), policy=write(tmp_path / "p.json", requirement))


def test_signatures_without_their_image_do_not_come_in(
    store: Store, layout: Path, tmp_path: Path
) -> None:
    with Store(str(tmp_path / "from")) as origin:
        origin.load(str(layout))
        tag = next(n for i in origin.images() for n in i.names if (n.tag or "").endswith(".sig"))
        origin.save([tag.familiar], str(tmp_path / "o.tar"), format="oci")

    with pytest.raises(Refused, match="it has no signatures"):
        store.load(str(tmp_path / "o.tar"), policy=write(tmp_path / "p.json", by_key("cosign.pub")))


def test_what_is_made_here_is_not_asked(store: Store, tmp_path: Path) -> None:
    store.load(io.BytesIO(ARCHIVE))
    write(Path(store.path) / "trust-policy.json")
    (tmp_path / "rootfs.tar").write_bytes(LAYERS[0])

    assert store.import_image(str(tmp_path / "rootfs.tar"), "made:1")
    assert store.sign(["made:1"], PRIVATE)
