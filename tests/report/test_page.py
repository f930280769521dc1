"""The page as text: whole, alone, and deaf to what images say."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from casstore import Store
from casstore.errors import StorageError
from casstore.report.page import json_block, page_of, write_page
from casstore.results.space import MAX_LABEL, MAX_LABELS, InventoryLayer
from tests.report.made import image, inventory

HOSTILE = "</script><script>document.title='owned'</script><!--\u2028 & \" ' ` @DATA@ \u202e"
ARCHIVE = Path(__file__).parents[2] / "fixtures" / "images" / "docker-save" / "commit.tar"


def block(page: str) -> str:
    """The text of the data block, as a browser cuts it out."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script', page, re.DOTALL)
    assert found is not None
    return found[1]


def test_no_text_can_end_the_block_of_data() -> None:
    text = json_block([HOSTILE, {HOSTILE: "<!--<script>"}])

    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == [HOSTILE, {HOSTILE: "<!--<script>"}]


def test_what_images_say_arrives_as_it_was() -> None:
    labelled = image(1, names="app:1", blobs=(0,), labels=((HOSTILE, HOSTILE),), leases=(HOSTILE,))
    page = page_of(inventory(labelled))
    data = json.loads(block(page))

    assert data["images"][0]["labels"] == [[HOSTILE, HOSTILE]]
    assert data["images"][0]["leases"] == [HOSTILE]
    assert page.count("<script") == 2


def test_the_policy_allows_the_style_and_the_script_of_the_page_and_nothing_else() -> None:
    page = page_of(inventory())
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert policy is not None
    assert style is not None
    assert script is not None

    def allowed(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    assert policy[1].split("; ") == [
        "default-src 'none'", f"style-src {allowed(style[1])}", f"script-src {allowed(script[1])}",
        "base-uri 'none'", "form-action 'none'",
    ]  # fmt: skip


def test_the_page_names_nothing_elsewhere() -> None:
    page = page_of(inventory(image(1, names="app:1", blobs=(0,))))

    assert re.findall(r"https?:|\bsrc=|url\(|@import|<link", page) == []


def test_labels_are_cut_so_that_the_page_stays_small() -> None:
    labels = tuple((f"label{n}", "x" * 10_000) for n in range(500))
    data = json.loads(block(page_of(inventory(image(1, blobs=(0,), labels=labels)))))

    assert len(data["images"][0]["labels"]) == MAX_LABELS
    assert {len(value) for _, value in data["images"][0]["labels"]} == {MAX_LABEL}


def test_what_layers_hide_is_on_the_page_where_it_is_known() -> None:
    known = image(1, blobs=(1, 0), layers=(InventoryLayer(1, 900, 200, 100),))
    data = json.loads(block(page_of(inventory(known, image(2, blobs=(1, 0)), layers=(300,)))))

    assert [one["layers"] for one in data["images"]] == [[[1, 900, 200, 100]], None]


def test_a_path_that_is_no_text_is_shown_all_the_same() -> None:
    odd = inventory()._replace(store=os.fsdecode(b"/srv/\xff<b>"))

    assert json.loads(block(page_of(odd)))["store"] == "/srv/\ufffd<b>"


@pytest.mark.parametrize(
    "name",
    [
        b"plain",
        b"a b",
        b"it's",
        b"$HOME`id`",
        b"\xff\xfe",
        b"tab\tline\nend",
        b"\xc3\xa9'\\\x01",
        b"-",
    ],
)
def test_the_command_names_the_store_for_any_shell(name: bytes, tmp_path: Path) -> None:
    store = os.path.join(os.fsencode(tmp_path), name)

    command = json.loads(block(page_of(inventory()._replace(store=os.fsdecode(store)))))["command"]

    assert command.isprintable()
    shown = subprocess.run(
        ["bash", "-c", f'casstore() {{ printf "%s\\0" "$@"; }}; {command} 0123'],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert shown.split(b"\0") == [b"--store", store, b"rmi", b"-f", b"0123", b""]


def test_a_store_whose_path_is_no_text_has_a_page(tmp_path: Path) -> None:
    path = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"st\xffre"))
    with Store(path) as store:
        store.load(ARCHIVE)
        store.report(tmp_path / "page.html")

    assert "st\ufffdre: where the space goes" in (tmp_path / "page.html").read_text("utf-8")


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    target.write_text("old")
    write_page(str(target), inventory())
    assert "casstore" in target.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]

    with pytest.raises(StorageError, match="cannot write"):
        write_page(str(tmp_path / "nosuch" / "page.html"), inventory())


def test_a_page_goes_to_a_device_too(tmp_path: Path) -> None:
    write_page("/dev/null", inventory())

    assert Path("/dev/null").is_char_device()


def test_a_store_writes_its_report(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        store.load(str(ARCHIVE))
        store.report(str(tmp_path / "page.html"))
        freed = {
            image["id"]: store.remove([image["id"]], force=True, dry_run=True).freed
            for image in json.loads(block((tmp_path / "page.html").read_text()))["images"]
        }
    data = json.loads(block((tmp_path / "page.html").read_text()))

    assert {image["id"]: image["frees"] for image in data["images"]} == freed
    assert [image["base"] for image in data["images"]] == [1, -1]
    assert data["images"][1]["refusal"] == "has dependent child images"
    assert sum(size for _, size, _, _ in data["blobs"]) == data["totals"]["stored"]
