"""The rmi page, word for word, and what rmi adds to it."""

from __future__ import annotations

import json
import re

from casstore.errors import Conflict, Damaged, NotFound
from casstore.store import Store
from tests.cli.fakes import ID, FakeStore, Run, deleted, outcome, removal, untagged

CONFLICT = Conflict(
    "cannot delete image fd484f19954f because it is tagged in multiple repositories, "
    "use -f to force",
    forceable=True,
)

PAGE = """\
Usage:  casstore rmi [OPTIONS] IMAGE [IMAGE...]

Remove one or more images

Options:
  -f, --force      Force removal of the image
      --help       Print usage
      --no-prune   Do not delete untagged parents
"""


def test_the_help_page_begins_with_dockers(run: Run) -> None:
    result = run("rmi", "--help")
    assert result.out.startswith(PAGE)
    assert (result.status, result.err) == (0, "")


def test_an_id_in_several_repositories_is_a_conflict_and_ends_with_a_dated_line(
    run: Run, store: FakeStore
) -> None:
    store.will(Store.remove).give(removal(outcome("fd484f19954f", error=CONFLICT), exit_code=1))
    result = run("rmi", "fd484f19954f")
    first, second, end = result.err.split("\n")
    assert (result.status, result.out, end) == (1, "", "")
    assert first == (
        "Error: Conflict, cannot delete image fd484f19954f because it is tagged in multiple "
        "repositories, use -f to force"
    )
    assert re.fullmatch(
        r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d Error: failed to remove one or more images", second
    )


def test_only_status_1_has_the_dated_line(run: Run, store: FakeStore) -> None:
    store.will(Store.remove).give(
        removal(outcome("a", error=Damaged("blob x is gone")), exit_code=12)
    )
    assert run("rmi", "a") == (12, "", "Error: blob x is gone\n")


def test_a_name_that_is_not_the_last_is_untagged(run: Run, store: FakeStore) -> None:
    store.will(Store.remove).give(removal(outcome("test1", untagged("test1:latest"))))
    assert run("rmi", "test1") == (0, "Untagged: test1:latest\n", "")


def test_force_by_id_untags_everywhere_in_the_order_of_attachment(
    run: Run, store: FakeStore
) -> None:
    lines = [untagged(f"{name}:latest") for name in ("test1", "test", "test2")]
    store.will(Store.remove).give(removal(outcome("fd484f19954f", *lines, deleted(ID))))
    assert run("rmi", "-f", "fd484f19954f") == (
        0,
        (
            "Untagged: test1:latest\n"
            "Untagged: test:latest\n"
            "Untagged: test2:latest\n"
            "Deleted: fd484f19954f4920da7ff372b5067f5b7ddb2fd3830cecd17b96ea9e286ba5b8\n"
        ),
        "",
    )


def test_by_digest_the_digest_keeps_its_prefix_and_layers_follow_the_image(
    run: Run, store: FakeStore
) -> None:
    name = (
        "localhost:5000/test/busybox"
        "@sha256:cbbf2f9a99b47fc460d422812b6a5adff7dfee951d8fa2e4a98caa0382cfbdbf"
    )
    digits = [
        "4986bf8c15363d1c5d15512d5266f8777bfba4974ac56e3270e7760f6f0a8125",
        "ea13149945cb6b1e746bf28032f02e9b5a793523481a0a18645fc77ad53c4ea2",
        "df7546f9f060a2268024c8a230d8639878585defcc1bc6f79d2728a13957871b",
    ]
    store.will(Store.remove).give(removal(outcome(name, untagged(name), *map(deleted, digits))))
    assert run("rmi", name) == (
        0,
        f"Untagged: {name}\n" + "".join(f"Deleted: {hexes}\n" for hexes in digits),
        "",
    )


def test_the_options_reach_the_store(run: Run, store: FakeStore) -> None:
    store.will(Store.remove).give(removal(outcome("a")))
    run("rmi", "a", "--no-prune", "-f", "--glob", "--verbose", "b", "--dry-run")
    assert store.calls == [
        (
            "remove",
            (("a", "b"),),
            {
                "force": True,
                "prune": False,
                "dry_run": True,
                "glob": True,
                "verbose": True,
                "keep": None,
            },
        )
    ]


def test_what_force_forgave_is_told_without_a_dated_line(run: Run, store: FakeStore) -> None:
    store.will(Store.remove).give(
        removal(
            outcome("nosuch", error=NotFound("No such image: nosuch:latest")),
            outcome("base:1", untagged("base:1")),
        ),
    )
    assert run("rmi", "-f", "nosuch", "base:1") == (
        0,
        "Untagged: base:1\n",
        "Error: No such image: nosuch:latest\n",
    )


def test_a_dry_run_prints_the_same_and_what_would_come_free(run: Run, store: FakeStore) -> None:
    store.will(Store.remove).give(
        removal(outcome("a", untagged("a:latest"), deleted(ID)), freed=1_230_000)
    )
    assert run("rmi", "--dry-run", "a") == (
        0,
        f"Untagged: a:latest\nDeleted: {ID}\n",
        "Would free 1.23 MB\n",
    )


def test_json_is_one_object_a_line_and_errors_stay_on_stderr(run: Run, store: FakeStore) -> None:
    store.will(Store.remove).give(
        removal(
            outcome("a", untagged("a:latest"), deleted(ID, "layer", 12)),
            outcome("b", error=NotFound("No such image: b:latest")),
            freed=12,
            exit_code=1,
        ),
    )
    result = run("rmi", "--format", "json", "a", "b")
    assert [json.loads(line) for line in result.out.splitlines()] == [
        {"Untagged": "a:latest"},
        {"Deleted": ID, "Role": "layer", "Size": 12},
        {"Freed": 12},
    ]
    assert result.err.startswith("Error: No such image: b:latest\n")


def test_verbose_says_what_holds_a_layer(run: Run, store: FakeStore) -> None:
    store.will(Store.remove).give(
        removal(outcome("a", untagged("a:latest"), kept=("layer x: b:latest",)))
    )
    assert run("rmi", "--verbose", "a").out == "Untagged: a:latest\nKept: layer x: b:latest\n"


def test_warnings_after_the_change_are_no_failure(run: Run, store: FakeStore) -> None:
    store.will(Store.remove).give(removal(outcome("a"))._replace(warnings=("blob x stays",)))
    assert run("rmi", "a") == (0, "", "Warning: blob x stays\n")


def test_no_argument_shows_the_usage_on_stderr(run: Run) -> None:
    assert run("rmi") == (
        2,
        "",
        (
            "'casstore rmi' requires at least 1 argument\n"
            "See 'casstore rmi --help'.\n"
            "\n"
            "Usage:  casstore rmi [OPTIONS] IMAGE [IMAGE...]\n"
        ),
    )


def test_an_unknown_option_is_wrong_usage(run: Run) -> None:
    assert run("rmi", "--nosuch", "a") == (
        2,
        "",
        "unknown flag: --nosuch\nSee 'casstore rmi --help'.\n",
    )
