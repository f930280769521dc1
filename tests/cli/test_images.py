from __future__ import annotations

import json

import pytest

from casstore.errors import NotAStore
from casstore.model.digest import Digest
from casstore.results.images import ImageSummary
from casstore.store import Store
from tests.cli.fakes import NOW, FakeStore, Result, Run, image

DIGEST = "sha256:cbbf2f9a99b47fc460d422812b6a5adff7dfee951d8fa2e4a98caa0382cfbdbf"
BUSYBOX = "localhost:5000/test/busybox"


def lists(store: FakeStore, *images: ImageSummary) -> None:
    """Let the store list these when it is asked next."""
    store.will(Store.each_image).give(iter(images))


def rows(result: Result) -> list[list[str]]:
    return [line.split() for line in result.out.splitlines()]


def test_three_tags_are_three_rows_in_the_order_they_were_made(run: Run, store: FakeStore) -> None:
    lists(store, image("test1 test test2"))
    assert run("images") == (
        0,
        (
            "REPOSITORY          TAG                 IMAGE ID            CREATED             SIZE\n"
            "test1               latest              fd484f19954f        23 seconds ago      "
            "7 B (virtual 4.964 MB)\n"
            "test                latest              fd484f19954f        23 seconds ago      "
            "7 B (virtual 4.964 MB)\n"
            "test2               latest              fd484f19954f        23 seconds ago      "
            "7 B (virtual 4.964 MB)\n"
        ),
        "",
    )


def test_the_digests_table_has_the_pages_narrower_columns(run: Run, store: FakeStore) -> None:
    busybox = image(
        f"{BUSYBOX}@{DIGEST}",
        id=Digest.of_hex("4986bf8c1536" + "0" * 52),
        created=NOW - 63 * 86400 * 10**9,
        size=2_430_000,
        own_size=2_430_000,
    )
    lists(store, busybox)
    assert run("images", "--digests").out == (
        f"{'REPOSITORY':30}TAG       {'DIGEST':74}IMAGE ID        CREATED         SIZE\n"
        f"{BUSYBOX:30}<none>    {DIGEST:74}4986bf8c1536    9 weeks ago     2.43 MB\n"
    )


def test_nothing_to_list_is_a_header(run: Run, store: FakeStore) -> None:
    lists(store)
    assert run("images").out == (
        "REPOSITORY          TAG                 IMAGE ID            CREATED             SIZE\n"
    )


def test_a_repository_with_only_digests_is_one_row_without_tag(run: Run, store: FakeStore) -> None:
    other = "sha256:" + "ab" * 32
    lists(store, image(f"{BUSYBOX}@{DIGEST} {BUSYBOX}@{other}"))
    assert [row[:2] for row in rows(run("images"))[1:]] == [[BUSYBOX, "<none>"]]


def test_digests_give_a_row_for_each_tag_with_each_digest_of_its_repository(
    run: Run, store: FakeStore
) -> None:
    lists(store, image(f"a/b:1 a/b@{DIGEST} c:2 {BUSYBOX}@{DIGEST}"))
    assert [row[:3] for row in rows(run("images", "--digests"))[1:]] == [
        ["a/b", "1", DIGEST],
        ["c", "2", "<none>"],
        [BUSYBOX, "<none>", DIGEST],
    ]


def test_an_image_without_names_is_one_row_of_nones(run: Run, store: FakeStore) -> None:
    lists(store, image())
    assert rows(run("images"))[1][:3] == ["<none>", "<none>", "fd484f19954f"]


def test_quiet_prints_an_id_for_each_row(run: Run, store: FakeStore) -> None:
    store.will(Store.image_ids).give(None)  # there are names by digest
    lists(store, image("a b"))
    assert run("images", "-aq").out == "fd484f19954f\n" * 2
    assert store.calls[0][2]["all"] is True


def test_full_ids_have_no_algorithm(run: Run, store: FakeStore) -> None:
    lists(store, image("a"))
    store.will(Store.image_ids).give(None)
    lists(store, image("a"))
    full = "fd484f19954f4920da7ff372b5067f5b7ddb2fd3830cecd17b96ea9e286ba5b8"
    assert rows(run("images", "--no-trunc"))[1][2] == full
    assert run("images", "-q", "--no-trunc").out == full + "\n"


def test_a_plain_list_of_ids_is_printed_as_the_store_gives_it(run: Run, store: FakeStore) -> None:
    store.will(Store.image_ids).give(iter([["a", "b"], ["c"]]))

    assert run("images", "-q").out == "a\nb\nc\n"
    assert store.calls == [("image_ids", (), {"all": False, "digits": 12})]


def test_filters_and_the_pattern_reach_the_store(run: Run, store: FakeStore) -> None:
    lists(store)
    run("images", "-f", "label=a", "lab*", "--filter=dangling=true")
    assert store.calls == [
        (
            "each_image",
            (),
            {"all": False, "filters": ("label=a", "dangling=true"), "patterns": ("lab*",)},
        )
    ]


def test_a_filter_must_be_a_name_and_a_value(run: Run) -> None:
    assert run("images", "-f", "dangling") == (
        2,
        "",
        (
            'invalid argument "dangling" for "-f, --filter" flag: '
            "bad format of filter (expected name=value)\n"
            "See 'casstore images --help'.\n"
        ),
    )


def test_json_has_dockers_keys_and_the_raw_figures(run: Run, store: FakeStore) -> None:
    lists(store, image("app:1", labels=(("k", "v"),)))
    assert json.loads(run("images", "--format", "json").out) == {
        "Containers": "N/A",
        "CreatedAt": "2013-12-11 05:59:37 +0000 UTC",
        "CreatedSince": "23 seconds ago",
        "CreatedUnix": 1_386_741_577,
        "Digest": "<none>",
        "ID": "fd484f19954f",
        "Labels": {"k": "v"},
        "OwnSizeBytes": 7,
        "Parent": "11" * 32,
        "Pinned": False,
        "Settled": True,
        "Repository": "app",
        "SharedSize": "N/A",
        "Size": "7 B (virtual 4.964 MB)",
        "SizeBytes": 4_964_000,
        "Tag": "1",
        "UniqueSize": "N/A",
        "VirtualSize": "4.964 MB",
    }


@pytest.mark.parametrize(
    ("form", "out"),
    [
        ("{{.ID}}: {{.Repository}}", "fd484f19954f: app\nfd484f19954f: base\n"),
        (
            "table {{.ID}}\\t{{.Repository}}\\t{{.Tag}}",
            (
                "IMAGE ID            REPOSITORY          TAG\n"
                "fd484f19954f        app                 1\n"
                "fd484f19954f        base                2\n"
            ),
        ),
        ("table {{lower .Tag}}", "TAG\n1\n2\n"),
        ("{{.Tag}}\\n-", "1\n-\n2\n-\n"),
    ],
)
def test_a_template_is_run_for_each_row(run: Run, store: FakeStore, form: str, out: str) -> None:
    lists(store, image("app:1 base:2"))
    assert run("images", "-q", "--format", form).out == out


def test_a_template_that_shows_digests_has_a_row_for_each(run: Run, store: FakeStore) -> None:
    lists(store, image(f"a/b:1 a/b@{DIGEST}"))
    assert run("images", "--format", "{{.Tag}} {{.Digest}}").out == f"1 {DIGEST}\n"


def test_an_unknown_field_is_one_line(run: Run, store: FakeStore) -> None:
    lists(store, image("a"))
    assert run("images", "--format", "{{.Nope}}") == (
        1,
        "",
        (
            'Error: template parsing error: template: :1:2: executing "" at <.Nope>: '
            'map has no entry for key "Nope"\n'
        ),
    )


def test_where_there_is_no_store_the_status_is_10(run: Run, store: FakeStore) -> None:
    store.will(Store.each_image).give(NotAStore("there is no store at /x"))
    assert run("images") == (10, "", "Error: there is no store at /x\n")


def test_two_patterns_are_wrong_usage(run: Run) -> None:
    result = run("images", "a", "b")
    assert result.status == 2
    assert result.err.startswith("'casstore images' requires at most 1 argument\n")


def test_an_empty_pattern_and_an_empty_filter_are_none(run: Run, store: FakeStore) -> None:
    lists(store)
    assert run("images", "", "-f", "").status == 0
    assert store.calls == [("each_image", (), {"all": False, "filters": (), "patterns": ()})]


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["table{{.Tag}}"], "TAG\n1\n"),
        (
            ["table {{.Tag}}\\t{{.Repository}}"],
            "TAG                 REPOSITORY\n1                   app\n",
        ),
        (["tableX{{.Tag}}"], "XTAG\nX1\n"),
        (
            ["table{{.Tag}}", "--digests"],
            "TAG                 DIGEST\n1                   <none>\n",
        ),
        ([" {{.Tag}} "], "1\n"),
        (["{{.Tag}}\\n{{.Repository}}"], "1\napp\n"),
        (["raw", "-q"], "image_id: fd484f19954f\n"),
        (
            ["raw"],
            (
                "repository: app\ntag: 1\nimage_id: fd484f19954f\n"
                "created_at: 2013-12-11 05:59:37 +0000 UTC\n"
                "virtual_size: 7 B (virtual 4.964 MB)\n\n"
            ),
        ),
        (
            ["raw", "--digests"],
            (
                "repository: app\ntag: 1\ndigest: <none>\nimage_id: fd484f19954f\n"
                "created_at: 2013-12-11 05:59:37 +0000 UTC\n"
                "virtual_size: 7 B (virtual 4.964 MB)\n\n"
            ),
        ),
    ],
)
def test_a_format_is_read_as_docker_reads_it(
    run: Run, store: FakeStore, words: list[str], output: str
) -> None:
    lists(store, image("app:1"))
    assert run("images", "--format", *words).out == output
