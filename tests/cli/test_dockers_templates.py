"""`inspect -f` on one side, what docker printed for the same images and templates on the other.

fixtures/templates/inspect.json holds what the clients 20.10.24 and 28.2.2 gave; where the two
differ, either will do, and where docker gave an error, so must casstore.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from casstore import Store
from casstore.cli.main import main

TEMPLATES = Path(__file__).parents[2] / "fixtures" / "templates"
CASES: dict[str, list[tuple[str, list[str | None]]]] = {}
for _case in json.loads((TEMPLATES / "inspect.json").read_text("utf-8")):
    CASES.setdefault(_case["template"], []).append((_case["image"], _case["output"]))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("templates") / "store"
    with Store(path) as store:
        store.load(TEMPLATES / "images.tar.gz")
    return path


@pytest.mark.parametrize("template", CASES)
def test_a_template_of_inspect_gives_what_docker_gives(
    template: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for image, outputs in CASES[template]:
        status = main(["--store", str(place), "inspect", "-f", template, image])
        shown = capsys.readouterr().out
        assert (None if status else shown) in outputs, image
