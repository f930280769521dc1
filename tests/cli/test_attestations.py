"""sbom and inspect --attestations: what is asked of the store, and what is printed."""

from __future__ import annotations

import json
from pathlib import Path

from casstore.errors import NotFound
from casstore.model.digest import Digest
from casstore.results.trust import Attestation
from casstore.store import Store
from tests.cli.fakes import FakeStore, Run, ref

DIGEST = Digest.of_hex("ab" * 32)
MANIFEST = Digest.of_hex("cd" * 32)
WRITTEN = b'{"predicateType":"https://spdx.dev/Document","predicate": {"x": 1.0}}'
FOUND = Attestation(
    found="tag",
    name=ref("app:sha256-x.att"),
    attached=MANIFEST,
    manifest=DIGEST,
    digest=DIGEST,
    size=70,
    media_type="application/vnd.dsse.envelope.v1+json",
    predicate_type="https://spdx.dev/Document",
    subjects=(MANIFEST,),
    of_image=True,
    signed=True,
    verified=None,
    problem="",
    statement=WRITTEN,
)
SHOWN = {
    "Image": "app:1",
    "Found": "tag",
    "Name": "app:sha256-x.att",
    "Attached": MANIFEST,
    "Manifest": DIGEST,
    "Digest": DIGEST,
    "Size": 70,
    "MediaType": "application/vnd.dsse.envelope.v1+json",
    "PredicateType": "https://spdx.dev/Document",
    "Subjects": [MANIFEST],
    "OfImage": True,
    "Signed": True,
    "Verified": None,
    "Problem": "",
}


def test_sbom_prints_the_predicate_as_it_is_written(run: Run, store: FakeStore) -> None:
    store.will(Store.sbom).give(FOUND)

    assert run("sbom", "app:1") == (0, '{"x": 1.0}\n', "")
    asked = {"platform": None, "type": "", "digest": "", "key": None}
    assert store.calls == [("sbom", ("app:1",), asked)]


def test_sbom_prints_the_whole_statement(run: Run, store: FakeStore) -> None:
    store.will(Store.sbom).give(FOUND)

    assert run("sbom", "--format", "statement", "app:1") == (0, WRITTEN.decode() + "\n", "")


def test_sbom_says_which_one_is_meant(run: Run, store: FakeStore, tmp_path: Path) -> None:
    key = tmp_path / "a key.pub"
    key.write_bytes(b"PEM")
    store.will(Store.sbom).give(FOUND)

    run("sbom", "--type", "spdx", "--digest", "ab", "--platform", "linux/arm64",
        "--key", str(key), "app:1")  # fmt: skip

    asked = {"platform": "linux/arm64", "type": "spdx", "digest": "ab", "key": b"PEM"}
    assert store.calls == [("sbom", ("app:1",), asked)]


def test_no_sbom_is_one_line_and_status_1(run: Run, store: FakeStore) -> None:
    store.will(Store.sbom).give(NotFound("app:1 has no SBOM in the store"))

    assert run("sbom", "app:1") == (1, "", "Error: app:1 has no SBOM in the store\n")


def test_inspect_lists_attestations_as_one_array(run: Run, store: FakeStore) -> None:
    store.will(Store.attestations).give([FOUND], [])

    done = run("inspect", "--attestations", "app:1", "b:1")

    assert (done.status, done.err) == (0, "")
    assert json.loads(done.out) == [SHOWN]
    assert store.calls == [
        ("attestations", ("app:1",), {"platform": None, "key": None}),
        ("attestations", ("b:1",), {"platform": None, "key": None}),
    ]


def test_inspect_has_a_template_for_each_attestation(run: Run, store: FakeStore) -> None:
    store.will(Store.attestations).give([FOUND, FOUND._replace(verified=True)])

    done = run("inspect", "--attestations", "-f", "{{.Found}} {{.Verified}}", "app:1")

    assert done == (0, "tag <no value>\ntag true\n", "")


def test_inspect_tells_of_an_image_that_is_not_there(run: Run, store: FakeStore) -> None:
    store.will(Store.attestations).give(NotFound("No such image: b:latest"), [FOUND])

    done = run("inspect", "--attestations", "--format", "json", "b", "app:1")

    assert (done.status, done.err) == (1, "Error: No such image: b\n")
    assert json.loads(done.out) == [SHOWN]


def test_a_key_without_attestations_is_wrong_usage(run: Run, store: FakeStore) -> None:
    done = run("inspect", "--key", "team.pub", "app:1")

    assert (done.status, done.out, store.calls) == (2, "", [])
    assert done.err.startswith("--key is for --attestations")
