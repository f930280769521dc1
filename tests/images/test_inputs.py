"""Real and edited images, held against what independent tools say of each (fixtures/images).

Other projects' test data is not copied here: CASSTORE_SHARED_IMAGES names a folder that has it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from casstore import Store
from casstore.errors import quote
from casstore.model.reference import parse_name
from tests.sessions.commandline import casstore

FIXTURES = Path(__file__).parents[2] / "fixtures" / "images"
SHARED = os.environ.get("CASSTORE_SHARED_IMAGES")
FORMATS = ("docker-archive", "docker-archive-v1", "oci-archive", "oci-dir", "dir")
READ_IN_PLACE = ("third-party/", "signed/containers-image/")

ACCEPT, REFUSE = "accept", "refuse"

# Inputs that readers treat differently: what casstore does, and why.
DECIDED: dict[str, tuple[str, str]] = {
    "edited/same-tag-twice": (ACCEPT, "as docker: the last item has the tag"),
    "edited/config-altered": (
        ACCEPT,
        "as docker: a file name in a docker-archive promises nothing",
    ),
    "edited/manifest-null": (ACCEPT, "as docker: nothing to load"),
    "edited/manifest-empty": (ACCEPT, "as docker: nothing to load"),
    "edited/tag-digest": (REFUSE, "RepoTags has tags; what a digest names is not in the archive"),
    "edited/parent-unknown": (ACCEPT, "as docker: without a parent"),
    "edited/parent-self": (ACCEPT, "as docker: without a parent"),
    "edited/parent-cycle": (REFUSE, "two images, each the other's parent, could never be removed"),
    "edited/link-dir": (ACCEPT, "a link within the archive leads to the layer's bytes"),
    "edited/member-escape": (ACCEPT, "nothing refers to the member, and nothing is unpacked"),
    "edited/oci-same-ref-twice": (ACCEPT, "as load of one tag twice: the last entry has the name"),
    "edited/oci-media-type-lies": (ACCEPT, "the bytes tell how they are compressed"),
    "edited/oci-media-type-unknown": (ACCEPT, "digest and diff ID are right; kept as it is"),
    "edited/oci-index-empty": (ACCEPT, "an empty layout is a legal layout: nothing to load"),
}

# The same for other projects' test data, which is not copied here.
_THEIRS = {
    ACCEPT: (
        ("google-go-containerregistry/no_manifest.tar", "the form before docker 1.10"),
        ("google-go-containerregistry/null_manifest.tar", "as docker: nothing to load"),
        ("google-go-containerregistry/test_index_media_type", "an artifact is kept as it is"),
        ("google-go-containerregistry/test_index_one_image", "an index may lack platforms"),
        ("containers-common/blobs-only", "an artifact is kept as it is"),
        ("containers-common/index", "an index of artifacts is kept as it is"),
        ("containers-common/no-blobs", "an artifact is kept as it is"),
        ("regclient-regclient/testrepo", "all of its images and artifacts are whole"),
        ("regclient-regclient/external", "artifacts are kept as they are"),
        ("aquasecurity-trivy/test.oci", "an image without a name"),
        ("oras-project-oras-go/hello-world.tar", "an index with one platform's blobs"),
        ("oras-project-oras-go/hello-world-prefixed-path.tar", "the same, names with ./"),
        ("moby-moby/emptyLayer.tar", "the form before docker 1.10"),
    ),
    REFUSE: (
        ("google-go-containerregistry/test_bundle.tar", "as docker: RepoTags without a tag"),
        ("google-go-containerregistry/test_gc_index", "a manifest says it is of another type"),
        ("google-go-containerregistry/test_index", "a manifest says it is of another type"),
        ("google-go-containerregistry/test_gc_image_unknown_mediatype", "a blob is missing"),
        ("containers-common/config-only", "a blob has another size"),
        ("containers-image/delete_image_multiple_images", "a stand-in blob has another size"),
        ("containers-image/delete_image_only_one_image", "a stand-in blob has another size"),
        ("containers-image/delete_image_two_identical_references", "stand-in layers"),
        ("aquasecurity-trivy/test_no_valid_manifests.oci", "schemaVersion is not 2"),
        ("aquasecurity-trivy/test_invalid_oci_image.oci", "a blob is missing"),
    ),
}
for _verdict_on_theirs, _reasons in _THEIRS.items():
    for _name, _reason in _reasons:
        DECIDED[f"third-party/{_name}"] = (_verdict_on_theirs, _reason)

# Where casstore does not do what the manifest proposes, or cannot take the input alone.
OTHERWISE: dict[str, tuple[str, str]] = {
    "skopeo/dir-v2s1": (REFUSE, "schema 1 has no config, and is obsolete"),
    "skopeo/split-one": (REFUSE, "its blobs lie in a folder beside it; alone it is not a layout"),
}

# Indexes, artifacts and layers of an unknown kind: a docker-archive has no place for them.
ONLY_OCI = frozenset(
    (
        "podman/index-oci",
        "podman/index-v2s2",
        "ctr/index",
        "ctr/index-arm64",
        "signed/cosign-layout",
        "encrypted/layout",
        "registry/pulled-index",
        "edited/oci-nested-index",
        "edited/oci-artifact-subject",
        "edited/oci-media-type-unknown",
    )
)


def _inputs() -> list[Mapping[str, Any]]:
    root = Path(SHARED) if SHARED else FIXTURES
    listed = json.loads((root / "manifest.json").read_text())["inputs"]
    return [{"images": [], **one} for one in listed if one["format"] in FORMATS]


INPUTS = _inputs()
BY_ID = {one["id"]: one for one in INPUTS}


def _path(one: Mapping[str, Any]) -> str:
    # Other projects' data is listed where it can be read, in place.
    theirs = SHARED is not None and _is_theirs(one["path"])
    return str((Path(SHARED or "") if theirs else FIXTURES) / one["path"])


def _is_theirs(name: str) -> bool:
    return name.startswith(READ_IN_PLACE)


@pytest.mark.skipif(SHARED is None, reason="CASSTORE_SHARED_IMAGES is not set")
def test_other_projects_images_are_among_the_inputs() -> None:
    assert any(_is_theirs(one["path"]) for one in INPUTS)


def _verdict(one: Mapping[str, Any]) -> str:
    if one["id"] in OTHERWISE:
        return OTHERWISE[one["id"]][0]
    expected = one.get("expect", ACCEPT)
    return DECIDED[one["id"]][0] if expected == "decide" else str(expected)


ACCEPTED = [one["id"] for one in INPUTS if _verdict(one) == ACCEPT]
REFUSED = [one["id"] for one in INPUTS if _verdict(one) == REFUSE]


def _familiar_names(one: Mapping[str, Any]) -> dict[str, set[str]]:
    """Image ID -> the names that its input gives it, in casstore's form."""
    # A bare tag says nothing of a repository: the layout's name stands for it.
    repository = Path(one["path"]).name.removesuffix(".gz").removesuffix(".tar")
    found: dict[str, set[str]] = {}
    for image in one["images"]:
        names = found.setdefault(image["id"], set())
        for name in image.get("refs") or image.get("repo_tags") or ():
            whole = name if "/" in name or ":" in name else f"{repository}:{name}"
            names.add(parse_name(whole).familiar)
    return found


def _state(store: str) -> dict[str, tuple[str | None, tuple[str, ...]]]:
    if not os.path.exists(store):
        return {}
    with Store(store) as opened:
        return {
            str(image.id): (
                str(image.parent) if image.parent else None,
                tuple(name.familiar for name in image.names),
            )
            for image in opened.images(all=True)
        }


def _load(store: Path, one: Mapping[str, Any]) -> None:
    result = casstore(str(store), ["load", _path(one)])
    assert result.status == 0
    if not result.out:
        assert result.err.endswith("lists no images, so nothing was loaded\n")
    elif left := ", ".join(one.get("signature_files", ())):
        assert result.err == (
            f"Warning: signatures that are files of {quote(_path(one))} do not come in: {left}\n"
        )
    else:
        assert result.err == ""


WHOLE = [
    name
    for name in ACCEPTED
    if BY_ID[name].get("expect") != "decide"
    and BY_ID[name]["images"]
    and not BY_ID[name].get("indexes")
    and not any("missing" in image or "id" not in image for image in BY_ID[name]["images"])
]


@pytest.mark.parametrize("name", WHOLE)
def test_an_input_gives_the_images_that_independent_tools_saw(name: str, tmp_path: Path) -> None:
    one = BY_ID[name]
    _load(tmp_path / "store", one)
    state = _state(str(tmp_path / "store"))
    names = _familiar_names(one)
    assert {image: set(references) for image, (_, references) in state.items()} == names
    for image in one["images"]:
        if one["format"] == "docker-archive":
            assert state[image["id"]][0] == image.get("parent")
        with Store(str(tmp_path / "store")) as store:
            shown = store.inspect(image["id"])
        layers = shown["RootFS"].get("Layers", [])  # as docker, which leaves out an empty list
        assert layers == [layer["diff_id"] for layer in image.get("layers", ())]
        assert shown["Created"] == image["created"] or not image["created"]


LAYOUTS = [
    name
    for name in ACCEPTED
    if BY_ID[name]["format"] in ("oci-archive", "oci-dir", "dir")
    # containerd's export of plain tars is a docker-archive too, and read as one: compressed
    and not (
        "docker_manifest_json" in BY_ID[name]
        and all(
            layer["compression"] == "none"
            for i in BY_ID[name]["images"]
            for layer in i.get("layers", ())
        )
    )
]


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_blobs_of_a_layout_are_kept_byte_for_byte(name: str, tmp_path: Path) -> None:
    one = BY_ID[name]
    _load(tmp_path / "store", one)
    blobs = set(os.listdir(tmp_path / "store" / "blobs" / "sha256"))
    for image in one["images"]:
        if "missing" in image or "id" not in image:
            continue
        wanted = [image["manifest"]["digest"], image["id"]]
        wanted += [layer["digest"] for layer in image.get("layers", ())]
        assert {digest.removeprefix("sha256:") for digest in wanted} <= blobs


def test_a_name_of_an_index_names_the_whole_index(tmp_path: Path) -> None:
    one = BY_ID["podman/index-oci"]
    _load(tmp_path / "store", one)
    assert [names for _, names in _state(str(tmp_path / "store")).values()] == [
        ("index-oci:multi-1",)
    ]


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_input_is_refused_with_one_line_and_changes_nothing(
    name: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    _load(store, BY_ID["docker-save/single"])
    before = _files(store)
    result = casstore(str(store), ["load", _path(BY_ID[name])])
    assert result.status == 1
    assert result.out == ""
    assert result.err.startswith("Error: ") and result.err.count("\n") == 1
    assert _files(store) == before


@pytest.mark.parametrize("form", ["docker", "oci", "oci-dir"])
@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_saved_loads_as_what_it_was(name: str, form: str, tmp_path: Path) -> None:
    store, again = tmp_path / "store", tmp_path / "again"
    _load(store, BY_ID[name])
    state = _state(str(store))
    if not state:
        pytest.skip("nothing is in the input")
    outs = [str(tmp_path / "out-1"), str(tmp_path / "out-2")]
    arguments = [
        word
        for image, (_, names) in state.items()
        for word in names or (image.removeprefix("sha256:"),)
    ]
    for out in outs:
        result = casstore(str(store), ["save", "--format", form, "-o", out, *arguments])
        if form == "docker" and (name in ONLY_OCI or (result.status and _is_theirs(name))):
            assert result.status == 1 and result.err.count("\n") == 1
            return
        assert (result.status, result.err) == (0, "")
    assert _files(Path(outs[0])) == _files(Path(outs[1]))
    result = casstore(str(again), ["load", outs[0]])
    assert (result.status, result.err) == (0, "")
    # A digest reference is of a manifest, and a docker-archive has none.
    kept = {
        image: (parent, {name for name in names if form != "docker" or "@" not in name})
        for image, (parent, names) in state.items()
    }
    loaded = _state(str(again))
    assert {image: (parent, set(names)) for image, (parent, names) in loaded.items()} == kept


@pytest.mark.parametrize("name", [name for name in ACCEPTED if BY_ID[name]["format"] == "dir"])
def test_what_skopeo_wrote_as_a_directory_is_written_as_the_same_files(
    name: str, tmp_path: Path
) -> None:
    one, store, out = BY_ID[name], tmp_path / "store", tmp_path / "out"
    _load(store, one)
    (image,) = _state(str(store))

    assert casstore(str(store), ["save", "--format", "dir", "-o", str(out), image]).status == 0

    theirs = _files(Path(_path(one)))
    for signature in one.get("signature_files", ()):
        del theirs[signature]
    assert _files(out) == theirs


def _files(root: Path) -> dict[str, bytes]:
    if root.is_file():
        return {"": root.read_bytes()}
    return dict(_walk(root))


def _walk(root: Path) -> Iterator[tuple[str, bytes]]:
    for directory, _, files in os.walk(root):
        for file in files:
            path = Path(directory) / file
            relative = str(path.relative_to(root))
            if not relative.startswith(("casstore.db", "casstore.lock")):
                yield relative, path.read_bytes()
