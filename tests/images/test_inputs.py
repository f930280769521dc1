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
from casstore.model.reference import parse_name
from tests.sessions.commandline import casstore

FIXTURES = Path(__file__).parents[2] / "fixtures" / "images"
SHARED = os.environ.get("CASSTORE_SHARED_IMAGES")
FORMATS = ("docker-archive", "docker-archive-v1", "oci-archive", "oci-dir")
READ_IN_PLACE = ("third-party/", "signed/containers-image/")

ACCEPT, REFUSE = "accept", "refuse"

# Inputs that readers treat differently: what casstore does, and why.
DECIDED: dict[str, tuple[str, str]] = {
    "edited/same-tag-twice": (ACCEPT, "as docker: the last item has the tag"),
    "edited/config-altered": (ACCEPT, "as docker: a file name in a docker-archive promises nothing"),
    "edited/manifest-null": (ACCEPT, "as docker: nothing to load"),
    "edited/manifest-empty": (ACCEPT, "as docker: nothing to load"),
    "edited/tag-digest": (REFUSE, "RepoTags has tags; what a digest names is not in the archive"),
    "edited/parent-unknown": (ACCEPT, "as docker: without a parent"),
    "edited/parent-self": (REFUSE, "an image that is its own parent could never be removed"),
    "edited/parent-cycle": (REFUSE, "two images, each the other's parent, could never be removed"),
    "edited/link-dir": (ACCEPT, "a link within the archive leads to the layer's bytes"),
    "edited/member-escape": (ACCEPT, "nothing refers to the member, and nothing is unpacked"),
    "edited/oci-same-ref-twice": (ACCEPT, "as load of one tag twice: the last entry has the name"),
    "edited/oci-media-type-lies": (ACCEPT, "the bytes tell how they are compressed"),
    "edited/oci-media-type-unknown": (ACCEPT, "digest and diff ID are right; kept as it is"),
    "edited/oci-index-empty": (ACCEPT, "an empty layout is a legal layout: nothing to load"),
}

# Where casstore does not do what the manifest proposes, or cannot take the input alone.
OTHERWISE: dict[str, tuple[str, str]] = {}


def _inputs() -> list[Mapping[str, Any]]:
    root = Path(SHARED) if SHARED else FIXTURES
    listed = json.loads((root / "manifest.json").read_text())["inputs"]
    return [one for one in listed if one["format"] in FORMATS]


INPUTS = _inputs()
BY_ID = {one["id"]: one for one in INPUTS}


def _path(one: Mapping[str, Any]) -> str:
    if one["path"].startswith(READ_IN_PLACE):
        if SHARED is None:
            pytest.skip("CASSTORE_SHARED_IMAGES is not set: other projects' data is not copied")
        return str(Path(SHARED) / one["path"])
    return str(FIXTURES / one["path"])


def _verdict(one: Mapping[str, Any]) -> str:
    if one["id"] in OTHERWISE:
        return OTHERWISE[one["id"]][0]
    expected = one.get("expect", ACCEPT)
    return DECIDED[one["id"]][0] if expected == "decide" else str(expected)


ACCEPTED = [one["id"] for one in INPUTS if _verdict(one) == ACCEPT]
REFUSED = [one["id"] for one in INPUTS if _verdict(one) == REFUSE]


def _familiar(name: str) -> str | None:
    try:
        return parse_name(name).familiar
    except Exception:
        return None
