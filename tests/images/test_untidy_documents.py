"""Images with documents as the world writes them: all that works with an image works with these."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from casstore.errors import Refused
from casstore.model.digest import sha256
from casstore.model.mediatype import OCI_CONFIG, OCI_MANIFEST
from casstore.store import Store
from casstore.trust.keys import generate_pair
from tests.sessions.commandline import casstore
from tests.transfer.building import OCI_LAYER, Layout, config_of, layer, tar_of

PLAIN = layer("a")
CONFIG = config_of(
    PLAIN, config={"Labels": {"k": "WORD"}, "Env": ["A=1"]}, history=[{"created_by": "WORD"}]
)

CONFIGS = {
    "rootfs without its type": CONFIG.replace(b'"type": "layers", ', b""),
    "keys in another case": CONFIG.replace(b'"rootfs"', b'"rootfS"').replace(b'"OS"', b'"Os"'),
    "every key in capitals": json.dumps(
        {key.upper(): value for key, value in json.loads(CONFIG).items()}
    ).encode(),
    "null in maps and lists": CONFIG.replace(b'"k": "WORD"', b'"k": null').replace(
        b'"A=1"', b'"A=1", null'
    ),
    "null in the history": CONFIG.replace(b'[{"created_by": "WORD"}]', b"[null]"),
    "Latin-1": CONFIG.replace(b"WORD", b"caf\xe9"),
    "half a surrogate pair": CONFIG.replace(b"WORD", b"caf\\ud83d"),
}


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "")


def load(store: str, data: bytes) -> None:
    assert casstore(store, ["load"], data)[::2] == (0, "")


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
@pytest.mark.parametrize("form", ["docker", "oci"])
def test_all_commands_take_a_config_as_go_takes_it(
    form: str, config: bytes, tmp_path: Path
) -> None:
    assert config != CONFIG
    if form == "docker":
        item = {"Config": "c.json", "RepoTags": ["odd:1"], "Layers": ["l.tar"]}
        data = tar_of(
            {"c.json": config, "l.tar": PLAIN, "manifest.json": json.dumps([item]).encode()}
        )
    else:
        layout = Layout()
        layout.publish(layout.image("a", config=config), "odd:1")
        data = layout.tar().getvalue()

    everything_works(data, tmp_path, sha256(config).hex)


MANIFESTS: dict[str, Any] = {
    "no schemaVersion": lambda text: text.replace(b'"schemaVersion": 2, ', b""),
    "keys in another case": lambda text: text.replace(b'"layers"', b'"Layers"').replace(
        b'"config"', b'"CONFIG"'
    ),
    "digests in another case": lambda text: text.replace(b'"digest"', b'"Digest"'),
    "null in annotations": lambda text: text[:-1] + b', "annotations": {"a": null}}',
    "Latin-1": lambda text: text[:-1] + b', "annotations": {"a": "caf\xe9"}}',
    "unknown keys": lambda text: text[:-1] + b', "odd": {"LAYERS": [null]}}',
}


@pytest.mark.parametrize("change", MANIFESTS.values(), ids=MANIFESTS.keys())
@pytest.mark.parametrize("in_an_index", [False, True])
def test_all_commands_take_a_manifest_as_go_takes_it(
    in_an_index: bool,  # noqa: FBT001 - a parameter of pytest
    change: Callable[[bytes], bytes],
    tmp_path: Path,
) -> None:
    layout = Layout()
    value = {
        "schemaVersion": 2,
        "config": layout.blob(CONFIG, OCI_CONFIG),
        "layers": [layout.blob(PLAIN, OCI_LAYER)],
    }
    text = json.dumps(value).encode()
    assert change(text) != text
    top = layout.blob(change(text), OCI_MANIFEST)
    image = sha256(CONFIG)
    if in_an_index:
        index = {"Manifests": [{**top, "Platform": {"OS": "linux", "architecture": "amd64"}}]}
        top = layout.json_blob(index, "application/vnd.oci.image.index.v1+json")
        image = top["digest"]
    layout.publish(top, "odd:1")

    everything_works(layout.tar().getvalue(), tmp_path, image.hex)


def everything_works(data: bytes, tmp_path: Path, image: str) -> None:
    store, copy = str(tmp_path / "store"), str(tmp_path / "copy")
    load(store, data)
    load(store, data)
    assert casstore(store, ["images", "-q", "--no-trunc"]).out == f"{image}\n"
    for words in (["inspect"], ["history"], ["tag"], ["inspect", "--platform", "linux/amd64"]):
        more = ["odd:2"] if words == ["tag"] else []
        assert casstore(store, [*words, "odd:1", *more]).status == 0, words
    assert casstore(store, ["df", "-v"]).status == casstore(store, ["tree"]).status == 0
    is_index = "index" in casstore(store, ["inspect", "odd:1"]).out
    for form in ["oci", "oci-dir"] + ([] if is_index else ["docker"]):
        out = str(tmp_path / form)
        assert casstore(store, ["save", "--format", form, "-o", out, "odd"]) == (0, "", "")
        assert casstore(copy, ["load", out]).status == 0
        assert casstore(copy, ["images", "-q", "--no-trunc"]).out == f"{image}\n" * 2
    (tmp_path / "key").write_bytes(generate_pair(b"")[0])
    assert casstore(store, ["sign", "--key", str(tmp_path / "key"), "odd:1"]).status == 0
    os.unlink(f"{store}/casstore.db")
    assert casstore(store, ["fsck", "--repair"]).status == 0
    assert casstore(store, ["fsck", "--rebuild"]).status == 0
    assert casstore(store, ["fsck"]) == (0, "", "")
    assert casstore(store, ["gc"]).status == 0
    assert (
        f"odd:1 {image}"
        in casstore(
            store, ["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]
        ).out
    )
    os.unlink(f"{store}/casstore.db")
    os.unlink(f"{store}/index.json")
    assert casstore(store, ["fsck", "--rebuild"]).status == 0
    assert image in casstore(store, ["images", "-q", "--no-trunc"]).out


def test_bytes_that_are_no_text_are_shown_as_such_and_kept(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    config = CONFIGS["Latin-1"]
    layout = Layout()
    layout.publish(layout.image("a", config=config), "odd:1")
    load(store, layout.tar().getvalue())

    assert "caf\ufffd" in casstore(store, ["history", "odd:1"]).out
    shown = json.loads(casstore(store, ["inspect", "odd:1"]).out)[0]
    assert shown["Config"]["Labels"] == {"k": "caf\ufffd"}
    assert (tmp_path / "store/blobs/sha256" / sha256(config).hex).read_bytes() == config


def test_inspect_shows_keys_as_docker_spells_them(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    config = CONFIG.replace(b'"config"', b'"Config"').replace(b'"Labels"', b'"labels"')
    layout = Layout()
    layout.publish(layout.image("a", config=config), "odd:1")
    load(store, layout.tar().getvalue())

    shown = json.loads(casstore(store, ["inspect", "odd:1"]).out)[0]

    assert shown["Config"]["Labels"] == {"k": "WORD"}
    assert casstore(store, ["images", "-q", "-f", "label=k=WORD"]).out != ""


@pytest.mark.parametrize("key", ["config", "repotags", "layers", "CONFIG", "RepoTAGS", "Layers"])
def test_manifest_json_may_have_its_keys_in_any_case(key: str, tmp_path: Path) -> None:
    item = {"Config": "c.json", "RepoTags": ["odd:1"], "Layers": ["l.tar"]}
    renamed = {
        key if name.casefold() == key.casefold() else name: value for name, value in item.items()
    }
    manifest = json.dumps([renamed]).encode()
    load(str(tmp_path / "s"), tar_of({"c.json": CONFIG, "l.tar": PLAIN, "manifest.json": manifest}))

    assert casstore(str(tmp_path / "s"), ["images", "-q", "odd:1"]).out != ""


def test_a_parent_as_go_takes_it_can_be_built_on(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    layout = Layout()
    layout.publish(layout.image("a", config=CONFIGS["keys in another case"]), "odd:1")
    load(store, layout.tar().getvalue())

    words = ["import", "--parent", "odd:1", "-", "child:1"]
    assert casstore(store, words, tar_of({"more": b"x"})).status == 0
    shown = json.loads(casstore(store, ["inspect", "child:1"]).out)[0]
    assert len(shown["RootFS"]["Layers"]) == 2 and shown["Config"]["Env"] == ["A=1"]


def test_what_another_tool_copies_into_a_store_is_taken_as_go_takes_it(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    layout = Layout()
    layout.publish(layout.image("seed"), "seed:1")
    load(store, layout.tar().getvalue())
    other = Layout()
    other.publish(other.image("a", config=CONFIGS["rootfs without its type"]), "web")
    index = json.loads((tmp_path / "store/index.json").read_bytes())
    index["Manifests"] = index.pop("manifests") + other.entries
    for name, content in other.files.items():
        if not os.path.exists(f"{store}/{name}"):
            Path(f"{store}/{name}").write_bytes(content)
    Path(f"{store}/index.json").write_bytes(json.dumps(index).encode())

    assert casstore(store, ["tag", "seed:1", "seed:2"]).status == 0
    assert casstore(store, ["gc"]).status == 0
    assert casstore(store, ["inspect", "web"]).status == 0


def test_a_manifest_with_layers_in_two_wrong_spellings_is_refused(tmp_path: Path) -> None:
    layout = Layout()
    blob = layout.blob(PLAIN, OCI_LAYER)
    value = {"config": layout.blob(CONFIG, OCI_CONFIG), "Layers": [blob], "LAYERS": []}
    layout.publish(layout.json_blob(value, OCI_MANIFEST), "odd:1")

    with pytest.raises(Refused, match="two spellings"):
        Store(str(tmp_path / "s")).load(io.BytesIO(layout.tar().getvalue()))
