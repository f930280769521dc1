"""What the other commands pass to the store, and the lines they make of its answers."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from casstore.errors import Damaged, InvalidReference, Locked, NotAStore, NotFound
from casstore.gc.stop import Stop
from casstore.model.digest import Digest
from casstore.model.findings import CheckResult, Finding
from casstore.model.removal import PruneResult
from casstore.results.exchange import LoadedImage, LoadResult, Renamed
from casstore.results.images import HistoryRow
from casstore.results.leases import LeaseInfo
from casstore.results.space import DiskUsage, DiskUsageRow, Keeper, Kept, TreeRow
from casstore.results.upkeep import GcResult
from casstore.store import Store
from casstore.store.leases import Leases
from tests.cli.fakes import ID, NOW, FakeStore, Run, deleted, ref, untagged

IMAGE = Digest.of_hex(ID)
OLD = Digest.of_hex("22" * 32)
AS_USUAL: dict[str, object] = {"policy": None, "verify": None, "tag": None, "clobber": True}

AS_USUAL_SAVED: dict[str, object] = {
    "platform": None, "exclude_base": (), "since": (), "delta_from": (),
}  # fmt: skip


class Stream(io.BytesIO):
    terminal = False

    def isatty(self) -> bool:
        return self.terminal


def feed(monkeypatch: pytest.MonkeyPatch, data: str, *, terminal: bool = False) -> Stream:
    stream = Stream(data.encode())
    stream.terminal = terminal
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream, encoding="utf-8"))
    return stream


# load


def test_load_tells_of_each_name_and_of_those_that_moved(run: Run, store: FakeStore) -> None:
    web = ref("web:1")
    store.will(Store.load).give(
        LoadResult(
            (
                LoadedImage(IMAGE, (ref("docker.io/library/app"), web), (Renamed(web, OLD),)),
                LoadedImage(OLD, (), ()),
            )
        ),
    )
    assert run("load", "-i", "x.tar") == (
        0,
        (
            "Loaded image: app:latest\n"
            f"The image web:1 already exists, renaming the old one with ID {OLD.hex} "
            "to empty string\n"
            "Loaded image: web:1\n"
            f"Loaded image ID: {OLD.hex}\n"
        ),
        "",
    )


def test_a_name_that_stands_twice_moves_once(run: Run, store: FakeStore) -> None:
    web = ref("web:1")
    store.will(Store.load).give(LoadResult((LoadedImage(IMAGE, (web, web), (Renamed(web, OLD),)),)))
    assert run("load", "-i", "x.tar").out == (
        f"The image web:1 already exists, renaming the old one with ID {OLD.hex} to empty string\n"
        "Loaded image: web:1\n"
        "Loaded image: web:1\n"
    )


@pytest.mark.parametrize(
    "words", [("-i", "x.tar"), ("x.tar",), ("--input=x.tar", "-q"), ("-qix.tar",)]
)
def test_load_takes_a_file_by_option_or_as_argument(
    run: Run, store: FakeStore, words: tuple[str, ...]
) -> None:
    store.will(Store.load).give(LoadResult(()))
    run("load", *words)
    assert store.calls == [("load", ("x.tar",), {**AS_USUAL, "compression": "zstd", "link": False})]


def test_load_takes_one_source(run: Run) -> None:
    assert run("load", "-i", "x", "y").status == 2


def test_load_hands_a_policy_on(run: Run, store: FakeStore) -> None:
    store.will(Store.load).give(LoadResult(()))
    run("load", "--policy", "p.json", "x.tar")
    assert store.calls[0][2]["policy"] == "p.json"


@pytest.mark.parametrize("words", [("-t", "web:1"), ("--tag=web:1",)])
def test_load_hands_a_name_on(run: Run, store: FakeStore, words: tuple[str, ...]) -> None:
    store.will(Store.load).give(LoadResult(()))
    run("load", *words, "--no-clobber", "x.tar")
    assert store.calls[0][2].items() >= {"tag": "web:1", "clobber": False}.items()


def test_a_name_that_stays_where_it_is_is_told_in_one_line(run: Run, store: FakeStore) -> None:
    image = LoadedImage(IMAGE, (), (), kept=(ref("web:1"),))
    store.will(Store.load).give(LoadResult((image,)))
    assert run("load", "--no-clobber", "x.tar") == (
        0,
        f"The name web:1 already exists, leaving it where it is\nLoaded image ID: {IMAGE.hex}\n",
        "",
    )


def test_load_reads_stdin_otherwise(
    run: Run, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = feed(monkeypatch, "data")
    store.will(Store.load).give(LoadResult(()))
    assert run("load", "--link", "--compression", "none").status == 0
    assert store.calls == [("load", (stream,), {**AS_USUAL, "compression": "none", "link": True})]


def test_load_does_not_wait_for_a_person(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, "", terminal=True)
    assert run("load") == (1, "", "Error: requested load from stdin, but stdin is empty\n")


# save


def test_save_writes_to_the_file_given(run: Run, store: FakeStore) -> None:
    assert run("save", "a", "b", "-o", "x.tar", "--format", "oci") == (0, "", "")
    assert store.calls == [("save", (("a", "b"), "x.tar"), {**AS_USUAL_SAVED, "format": "oci"})]


def test_save_hands_on_what_the_other_side_has(run: Run, store: FakeStore) -> None:
    run("save", "-o", "x", "--exclude-base", "b:1", "--since", "l", "--exclude-base", "c:1", "a")
    assert store.calls[0][2].items() >= {"exclude_base": ("b:1", "c:1"), "since": ("l",)}.items()


def test_save_hands_on_what_deltas_are_from(run: Run, store: FakeStore) -> None:
    run("save", "-o", "x", "--delta-from", "b:1", "--delta-from=c:1", "a")
    assert store.calls[0][2]["delta_from"] == ("b:1", "c:1")


def test_save_writes_to_stdout_otherwise(run: Run, store: FakeStore) -> None:
    assert run("save", "a").status == 0
    assert store.calls[0][2] == {**AS_USUAL_SAVED, "format": "docker"}
    assert hasattr(store.calls[0][1][1], "write")


def test_save_does_not_fill_a_terminal(
    run: Run, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Stream()
    terminal.terminal = True
    monkeypatch.setattr("casstore.cli.app.App.output", lambda _app: terminal)
    assert run("save", "a") == (
        1,
        "",
        "Error: cowardly refusing to save to a terminal. Use the -o flag or redirect\n",
    )
    assert store.calls == []


def test_a_layout_directory_needs_a_place(run: Run) -> None:
    assert run("save", "--format", "oci-dir", "a").status == 2
    assert run("save", "--format", "dir", "a").status == 2
    assert run("save", "-o", "", "a").status == 2


# import


def test_import_prints_the_full_id(run: Run, store: FakeStore) -> None:
    store.will(Store.import_image).give(IMAGE)
    assert run(
        "import", "-c", "CMD a", "-c", "ENV A=b", "-m", "note", "root.tar", "x:1", "--parent", "p"
    ) == (0, f"sha256:{ID}\n", "")
    assert store.calls == [
        (
            "import_image",
            ("root.tar", "x:1"),
            {
                "changes": ("CMD a", "ENV A=b"),
                "message": "note",
                "parent": "p",
                "compression": "zstd",
                "platform": None,
            },
        )
    ]


def test_import_reads_stdin_for_a_dash(
    run: Run, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = feed(monkeypatch, "tar")
    store.will(Store.import_image).give(IMAGE)
    run("import", "-")
    assert store.calls[0][1] == (stream, None)


# tag


def test_tag_is_silent(run: Run, store: FakeStore) -> None:
    assert run("tag", "a", "b:1") == (0, "", "")
    assert store.calls == [("tag", ("a", "b:1"), {})]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("Bad", "invalid reference format: repository name must be lowercase"),
        ("a b", "invalid reference format"),
        ("", "invalid reference format"),
        (ID, f"invalid repository name ({ID}), cannot specify 64-byte hexadecimal strings"),
    ],
)
def test_a_target_that_is_no_name_is_refused_before_the_store_is_asked(
    run: Run, store: FakeStore, target: str, reason: str
) -> None:
    assert run("tag", "a", target) == (
        1,
        "",
        f'Error parsing reference: "{target}" is not a valid repository/tag: {reason}\n',
    )
    assert store.calls == []


def test_tag_needs_two_arguments(run: Run) -> None:
    assert run("tag", "a").err.startswith("'casstore tag' requires 2 arguments\n")


# prune

PRUNED = PruneResult((untagged("a:1"), deleted(ID), deleted("33" * 32, "layer")), 8, 300)


def test_prune_asks_on_stderr_and_reports(
    run: Run, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed(monkeypatch, "Y\n")
    store.will(Store.prune).give(PRUNED)
    assert run("prune") == (
        0,
        (
            f"Deleted Images:\nuntagged: a:1\ndeleted: {ID}\ndeleted: {'33' * 32}\n\n"
            "Total reclaimed space: 8 B\n"
        ),
        "WARNING! This will remove all dangling images.\nAre you sure you want to continue? [y/N] ",
    )


@pytest.mark.parametrize("answer", ["", "\n", "n\n", "yes\n"])
def test_anything_but_y_prunes_nothing(
    run: Run, store: FakeStore, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    feed(monkeypatch, answer)
    result = run("prune", "-a")
    assert (result.status, result.out) == (0, "Total reclaimed space: 0 B\n")
    assert "all images without at least one lease on them" in result.err
    assert store.calls == []


def test_prune_with_force_does_not_ask(run: Run, store: FakeStore) -> None:
    store.will(Store.prune).give(PruneResult((), 0, 0))
    assert run("prune", "-af", "--filter", "label!=keep", "--filter=until=1h") == (
        0,
        "Total reclaimed space: 0 B\n",
        "",
    )
    ((_, _, options),) = store.calls
    assert isinstance(options.pop("stop"), Stop)
    assert options == {
        "all": True, "filters": ("label!=keep", "until=1h"), "dry_run": False, "keep": None
    }  # fmt: skip


def test_prune_says_that_it_took_several_turns(run: Run, store: FakeStore) -> None:
    store.will(Store.prune).give(PRUNED._replace(turns=3))
    assert run("prune", "-f").err == "Removed in 3 turns, each a change of its own\n"
    store.will(Store.prune).give(PRUNED._replace(turns=3))
    assert json.loads(run("prune", "-f", "--format", "json").out.splitlines()[-1])["Turns"] == 3


def test_prune_says_what_ended_it_and_what_went_before(run: Run, store: FakeStore) -> None:
    locked = Locked("the store is locked")
    store.will(Store.prune).give(PRUNED._replace(error=locked))
    status, out, err = run("prune", "-f")
    assert status == Locked.exit_code
    assert out.endswith("Total reclaimed space: 8 B\n")
    assert err == "Error: the store is locked; what is listed above was removed before\n"


def test_a_dry_run_of_prune_never_asks(run: Run, store: FakeStore) -> None:
    store.will(Store.prune).give(PRUNED)
    result = run("image", "prune", "--dry-run")
    assert result.out.endswith("Total reclaimed space: 8 B\n")
    assert result.err == "Would free 300 B\n"


def test_prune_in_json(run: Run, store: FakeStore) -> None:
    store.will(Store.prune).give(PRUNED)
    assert [json.loads(x) for x in run("prune", "-f", "--format=json").out.splitlines()] == [
        {"Untagged": "a:1"},
        {"Deleted": ID},
        {"Deleted": "33" * 32},
        {"SpaceReclaimed": 8, "Freed": 300},
    ]


def test_a_filter_of_prune_is_a_name_and_a_value(run: Run) -> None:
    assert run("prune", "-f", "--filter", "x").err.startswith(
        'invalid argument "x" for "--filter" flag: bad format of filter (expected name=value)\n'
    )


# gc and fsck


def test_gc_says_what_went(run: Run, store: FakeStore) -> None:
    store.will(Store.gc).give(GcResult(2, 1, 1234, ("index.json was behind: published again",)))
    assert run("gc", "--dry-run") == (
        0,
        (
            "index.json was behind: published again\n"
            "Removed blobs: 2\nRemoved temporary files: 1\nTotal reclaimed space: 1.234 kB\n"
        ),
        "Would free 1.234 kB\n",
    )
    assert store.calls == [("gc", (), {"dry_run": True, "empty_trash": False})]


def test_gc_in_json(run: Run, store: FakeStore) -> None:
    store.will(Store.gc).give(GcResult(2, 1, 9, ()))
    assert json.loads(run("gc", "--format", "json").out) == {
        "RemovedBlobs": 2,
        "RemovedFiles": 1,
        "Freed": 9,
        "Findings": [],
        "Settled": 0,
        "Damaged": [],
    }


def test_gc_tells_what_layers_turned_out_to_be_damaged(run: Run, store: FakeStore) -> None:
    store.will(Store.gc).give(GcResult(0, 0, 0, (), damaged=("layer a: it is not b",)))

    done = run("gc")

    assert (done.status, done.err) == (12, "Error: layer a: it is not b\n")


@pytest.mark.parametrize("command", ["pull", "load", "copy"])
def test_what_shall_be_verified_has_two_words(run: Run, command: str) -> None:
    done = run(command, "--verify", "some", "x", "y")

    assert done.status == 2
    assert 'invalid argument "some"' in done.err.splitlines()[0]


def test_load_hands_on_what_shall_be_verified(run: Run, store: FakeStore) -> None:
    store.will(Store.load).give(LoadResult((), ()))
    run("load", "--verify", "digest", "x.tar")
    assert store.calls[0][2]["verify"] == "digest"


def test_a_copy_out_of_the_store_verifies_nothing(run: Run, store: FakeStore) -> None:
    done = run("copy", "--verify", "digest", "app:1", "oci:out")

    assert done.status == 2
    assert "only a copy into the store takes it" in done.err
    assert store.calls == []


NOTE = Finding("note", "orphan-blob", "sha256:00", "nothing refers to it")
ERROR = Finding("error", "blob-corrupt", "sha256:11", "its content has another digest")


def test_fsck_of_a_store_with_only_notes_is_clean(run: Run, store: FakeStore) -> None:
    store.will(Store.check).give(CheckResult((NOTE,), 3, 100))
    assert run("fsck") == (0, "note orphan-blob sha256:00: nothing refers to it\n", "")


@pytest.mark.parametrize("level", ["error", "warn"])
def test_fsck_with_a_problem_ends_with_12(run: Run, store: FakeStore, level: str) -> None:
    store.will(Store.check).give(CheckResult((NOTE, ERROR._replace(level=level)), 3, 100))
    assert run("fsck").status == 12


def test_fsck_passes_its_options_and_tells_of_repairs(run: Run, store: FakeStore) -> None:
    store.will(Store.check).give(CheckResult((), 3, 100, ("the count of sha256:00",)))
    assert run(
        "fsck", "--repair", "--repair-from", "a", "--repair-from=b", "--rebuild", "--quick"
    ).out == ("repaired: the count of sha256:00\n")
    assert store.calls == [
        (
            "check",
            (),
            {"repair": True, "repair_from": ("a", "b"), "rebuild": True, "content": False},
        )
    ]


def test_a_line_of_the_result_holds_no_control_characters(run: Run, store: FakeStore) -> None:
    store.will(Store.check).give(CheckResult((NOTE._replace(object="a\x1b[2J\nb"),), 3, 100))
    assert run("fsck").out == "note orphan-blob a\\x1b[2J\\nb: nothing refers to it\n"


def test_fsck_in_json(run: Run, store: FakeStore) -> None:
    store.will(Store.check).give(CheckResult((ERROR,), 3, 100))
    assert json.loads(run("fsck", "--format", "json").out) == {
        "Level": "error",
        "Code": "blob-corrupt",
        "Object": "sha256:11",
        "Text": "its content has another digest",
    }


# inspect


def document() -> dict[str, Any]:
    return {
        "Id": f"sha256:{ID}",
        "RepoTags": ["app:1"],
        "RepoDigests": [],
        "Config": {"Env": None, "Labels": {"k\x1b": "v"}},
    }


def test_inspect_prints_a_list_indented_by_four(run: Run, store: FakeStore) -> None:
    store.will(Store.inspect).give({"Id": "x", "Config": {"Env": None}}, {"Id": "y"})
    assert run("inspect", "x", "y").out == (
        "[\n"
        '    {\n        "Id": "x",\n        "Config": {\n'
        '            "Env": null\n        }\n    },\n'
        '    {\n        "Id": "y"\n    }\n'
        "]\n"
    )


def test_what_is_found_is_printed_before_an_error_for_each_that_is_not(
    run: Run, store: FakeStore
) -> None:
    store.will(Store.inspect).give(
        NotFound("No such image: nosuch:latest"),
        {"Id": "x"},
        InvalidReference("invalid reference format"),
    )
    result = run("inspect", "nosuch", "x", "a b")
    assert result.status == 1
    assert json.loads(result.out) == [{"Id": "x"}]
    assert result.err == "Error: No such image: nosuch\nError: invalid reference format\n"


def test_nothing_found_is_an_empty_list(run: Run, store: FakeStore) -> None:
    store.will(Store.inspect).give(NotFound("No such image: a:latest"))
    assert run("inspect", "a").out == "[]\n"


def test_damage_keeps_its_status(run: Run, store: FakeStore) -> None:
    store.will(Store.inspect).give(Damaged("config is gone"), {"Id": "x"})
    assert run("inspect", "a", "x").status == 12


def test_without_a_store_nothing_is_printed(run: Run, store: FakeStore) -> None:
    store.will(Store.inspect).give(NotAStore("there is no store"))
    assert run("inspect", "a", "b") == (10, "", "Error: there is no store\n")


@pytest.mark.parametrize(
    ("form", "out"),
    [
        ("{{.RepoTags}} {{.RepoDigests}}", "[app:1] []\n"),
        ("{{.Config.Env}} {{json .Config.Env}}", "[] null\n"),
        ("{{.Config.Labels.nope}}", "<no value>\n"),
        (
            "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}}{{end}}",
            "k\\x1b=v\n",
        ),
    ],
)
def test_a_template_sees_dockers_types(run: Run, store: FakeStore, form: str, out: str) -> None:
    store.will(Store.inspect).give(document())
    assert run("inspect", "-f", form, "a").out == out


def test_inspect_prints_no_control_characters(run: Run, store: FakeStore) -> None:
    store.will(Store.inspect).give(document())
    assert "\x1b" not in run("inspect", "a").out


def test_inspect_knows_images_only(run: Run, store: FakeStore) -> None:
    assert run("inspect", "--type", "container", "x").status == 2
    store.will(Store.inspect).give({"Id": "x"})
    assert run("inspect", "--type", "image", "-s", "x").status == 0


# history

STEPS = [
    HistoryRow(IMAGE, NOW - 60 * 10**9, "/bin/sh -c " + "x" * 50, 8, "a\x1bb", (ref("app:1"),)),
    HistoryRow(None, None, "COPY\ta", 0, "", ()),
]


def test_history_is_a_table_newest_first(run: Run, store: FakeStore) -> None:
    store.will(Store.history).give(STEPS)
    assert run("history", "app:1").out == (
        "IMAGE               CREATED              CREATED BY"
        "                                      SIZE                COMMENT\n"
        f"fd484f19954f        About a minute ago   /bin/sh -c {'x' * 33}…"
        "   8 B                 a\\x1bb\n"
        "<missing>           N/A                  COPY a"
        "                                          0 B\n"
    )


def test_history_for_machines_has_dates_and_bytes(run: Run, store: FakeStore) -> None:
    store.will(Store.history).give(STEPS[:1])
    lines = run("history", "-H=false", "--no-trunc", "app:1").out.splitlines()
    assert lines[0].split() == ["IMAGE", "CREATED", "AT", "CREATED", "BY", "SIZE", "COMMENT"]
    assert lines[1].split() == [
        ID,
        "2013-12-11T05:59:00Z",
        "/bin/sh",
        "-c",
        "x" * 50,
        "8",
        "a\\x1bb",
    ]


def test_a_template_of_history_for_machines_has_dates_and_bytes(run: Run, store: FakeStore) -> None:
    store.will(Store.history).give(STEPS[:1])
    form = "{{.CreatedSince}}|{{.Size}}"
    shown = run("history", "-H=false", "--format", form, "app:1").out
    assert shown.split("|")[0][:4].isdigit()
    assert shown.split("|")[1].strip().isdigit()


def test_history_quiet_prints_ids(run: Run, store: FakeStore) -> None:
    store.will(Store.history).give(STEPS)
    assert run("history", "-q", "app:1").out == "fd484f19954f\n<missing>\n"


def test_history_in_json_and_by_template(run: Run, store: FakeStore) -> None:
    store.will(Store.history).give(STEPS[1:], STEPS)
    assert json.loads(run("history", "--format", "json", "a").out) == {
        "Comment": "",
        "CreatedAt": "N/A",
        "CreatedBy": "COPY a",
        "CreatedSince": "N/A",
        "CreatedUnix": None,
        "ID": "<missing>",
        "Size": "0 B",
        "SizeBytes": 0,
        "Tags": [],
    }
    assert run("history", "--format", "{{.ID}} {{.Size}}", "a").out == (
        "fd484f19954f 8 B\n<missing> 0 B\n"
    )


# df

ROW = DiskUsageRow(
    IMAGE, (ref("app:1"), ref("b")), NOW - 10**9, 4_964_000, 900, 100, 1000,
    own=7, file_shared=4_963_993, file_unique=7, leases=("ci",),
)  # fmt: skip


def usage(**fields: int) -> DiskUsage:
    values: dict[str, Any] = {
        "images": 7, "intermediate": 2, "active": 1, "dangling": 1, "blobs": 12,
        "stored": 2000, "shared": 900, "reclaimable": 500, "file_bytes": 9000,
        "orphans": 0, "orphan_bytes": 0, "ingest_bytes": 0, "rows": (ROW,),
    }  # fmt: skip
    return DiskUsage(**(values | fields))


def test_df_is_dockers_table(run: Run, store: FakeStore) -> None:
    store.will(Store.df).give(usage())
    assert run("system", "df").out == (
        f"{'TYPE':20}{'TOTAL':20}{'ACTIVE':20}{'SIZE':20}RECLAIMABLE\n"
        f"{'Images':20}{'5':20}{'1':20}{'2 kB':20}500 B (25%)\n"
    )


def test_df_shows_leftovers_only_where_there_are(run: Run, store: FakeStore) -> None:
    store.will(Store.df).give(usage(orphans=2, orphan_bytes=30, ingest_bytes=10))
    assert run("df").out.splitlines()[2].split() == (
        ["Leftovers", "2", "0", "40", "B", "40", "B", "(100%)"]
    )


def test_df_verbose_has_a_row_for_each_image(run: Run, store: FakeStore) -> None:
    store.will(Store.df).give(usage())
    title, blank, header, row = run("df", "-v").out.splitlines()
    assert (title, blank) == ("Images space usage:", "")
    assert header.split()[:2] == ["REPOSITORY", "TAG"]
    assert row.split("  ")[0] == "app"
    assert " ".join(row.split()) == (
        "app 1 fd484f19954f 1 second ago 7 B (virtual 4.964 MB) 4.964 MB 7 B 1 1 kB 100 B"
    )


def test_df_in_json_has_raw_bytes(run: Run, store: FakeStore) -> None:
    store.will(Store.df).give(usage(), usage())
    assert json.loads(run("df", "--format", "json").out) == {
        "Active": "1",
        "Reclaimable": "500 B (25%)",
        "ReclaimableBytes": 500,
        "Size": "2 kB",
        "SizeBytes": 2000,
        "TotalCount": "5",
        "Type": "Images",
        "UncompressedBytes": 9000,
        "UncompressedSize": "9 kB",
    }
    detail = json.loads(run("df", "-v", "--format", "json").out)
    assert (detail["Names"], detail["UniqueBytes"]) == (["app:1", "b:latest"], 7)
    assert (detail["StoredUniqueBytes"], detail["StoredSharedBytes"]) == (100, 900)


# tree


def row(depth: int, image: Digest | None, names: str, **fields: Any) -> TreeRow:
    values = {"last": False, "layers": (), "created": NOW, "below": 0, **fields}
    return TreeRow(depth=depth, image=image, names=tuple(map(ref, names.split())), **values)


ROWS = [
    row(0, None, "", layers=(IMAGE,), own=500, size=500, stored=250, below=2),
    row(1, IMAGE, "app:1 b:1 c:1 d:1", own=7, size=507, stored=3, below=1),
    row(2, IMAGE, "", last=True, own=0, size=507, stored=0),
    row(1, IMAGE, "e:1", last=True, own=1, size=501, stored=9),
]


def test_a_tree_in_a_pipe_is_plain_text(run: Run, store: FakeStore) -> None:
    store.will(Store.tree).give(ROWS)

    assert run("tree").out.splitlines() == [
        "1 shared layer of 2 images  500 B  [250 B]",
        "|-- app:1, b:1, c:1 and 1 more  fd484f19954f  7 B (virtual 507 B)  [3 B]",
        "|   `-- <none>  fd484f19954f  0 B (virtual 507 B)  [0 B]",
        "`-- e:1  fd484f19954f  1 B (virtual 501 B)  [9 B]",
    ]


def test_a_tree_in_json_is_one_object_a_line(run: Run, store: FakeStore) -> None:
    store.will(Store.tree).give(ROWS)
    shared, image, *_ = map(json.loads, run("tree", "--format", "json").out.splitlines())

    assert (shared["ID"], shared["Below"], shared["OwnBytes"]) == ("", 2, 500)
    assert (image["Depth"], image["Names"][3], image["StoredBytes"]) == (1, "d:1", 3)


# why


def test_why_says_what_keeps_each_argument(run: Run, store: FakeStore) -> None:
    keepers = (
        Keeper("reference", IMAGE, "app:1", ""),
        Keeper("child", IMAGE, "", ""),
        Keeper("lease", None, "ci", "soft"),
    )
    store.will(Store.why).give(
        Kept("image", IMAGE, 4_964_000, keepers), Kept("image", IMAGE, 1, ())
    )
    result = run("why", "app", "b")

    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines() == [
        "image fd484f19954f  4.964 MB",
        "  reference  app:1",
        "  child      fd484f19954f",
        "  lease      ci  (soft)",
        "image fd484f19954f  1 B",
        "  nothing: it is dangling, and prune takes it",
    ]


def test_of_a_blob_that_is_gone_why_says_nothing(run: Run, store: FakeStore) -> None:
    store.will(Store.why).give(None)

    assert run("why", IMAGE) == (1, "", "")


def test_why_goes_on_after_a_name_that_is_not_there(run: Run, store: FakeStore) -> None:
    store.will(Store.why).give(NotFound("No such image or blob: x"), Kept("layer", IMAGE, 1, ()))
    result = run("why", "--format", "json", "x", "y")

    assert (result.status, result.err) == (1, "Error: No such image or blob: x\n")
    assert json.loads(result.out)["Kind"] == "layer"


# __complete


def test_completion_asks_for_names_by_their_first_letters(run: Run, store: FakeStore) -> None:
    store.will(Store.names).give(["app:1", "app:2"])

    assert run("__complete", "images", "--", "ap") == (0, "app:1\napp:2\n", "")
    assert store.calls == [("names", ("ap",), {})]


def test_completion_is_silent_where_there_is_no_store(run: Run, store: FakeStore) -> None:
    store.will(Store.names).give(NotAStore("there is no store"))

    assert run("__complete", "images") == (0, "", "")
    assert "__complete" not in run("--help").out


# report


def test_a_report_goes_to_the_file_that_is_named(run: Run, store: FakeStore) -> None:
    assert run("report", "-o", "page.html") == (0, "", "")
    assert run("report", "--files", "-o", "page.html") == (0, "", "")
    assert store.calls == [
        ("report", ("page.html",), {"files": False}), ("report", ("page.html",), {"files": True}),
    ]  # fmt: skip


def test_a_report_without_a_file_is_wrong_usage(run: Run, store: FakeStore) -> None:
    assert run("report").status == 2
    assert store.calls == []


# lease

LEASES = [
    LeaseInfo("process-7", IMAGE, "hard", None, "pid 7 (make)"),
    LeaseInfo("release", IMAGE, "soft", NOW + 7200 * 10**9, "user"),
    LeaseInfo("old", IMAGE, "soft", NOW - 1, "user"),
]


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ((), 86400),
        (("--ttl", "90s"), 90),
        (("--ttl=1h30m",), 5400),
        (("--ttl", "7d"), 604800),
        (("--ttl", "1.5h"), 5400),
        (("--ttl", "none"), None),
    ],
)
def test_a_soft_lease_has_a_name_an_image_and_an_end(
    run: Run, store: FakeStore, words: tuple[str, ...], seconds: int | None
) -> None:
    assert run("lease", "add", *words, "release", "app:1") == (0, "", "")
    assert store.calls == [("leases.add", ("release", "app:1", seconds), {})]


@pytest.mark.parametrize(
    "value", ["", "0", "0s", "45", "x", "1y", "h", "-5s", "1h5", "9" * 20 + "d", "²s", "\u0661s"]
)
def test_a_wrong_duration_is_refused(run: Run, store: FakeStore, value: str) -> None:
    assert run("lease", "add", f"--ttl={value}", "n", "i").status == 2
    assert store.calls == []


def test_leases_are_listed(run: Run, store: FakeStore) -> None:
    store.will(Leases.list).give(LEASES)
    rows = [" ".join(line.split()) for line in run("lease", "ls").out.splitlines()]
    assert rows == [
        "NAME IMAGE ID KIND EXPIRES HOLDER",
        "process-7 fd484f19954f hard never pid 7 (make)",
        "release fd484f19954f soft in 2 hours user",
        "old fd484f19954f soft expired user",
    ]


def test_leases_in_other_forms(run: Run, store: FakeStore) -> None:
    store.will(Leases.list).give(LEASES, LEASES, LEASES[1:2])
    assert run("lease", "ls", "-q").out == "process-7\nrelease\nold\n"
    assert run("lease", "ls", "--format", "{{.Kind}}").out == "hard\nsoft\nsoft\n"
    assert json.loads(run("lease", "ls", "--no-trunc", "--format", "json").out) == {
        "Expires": "in 2 hours",
        "ExpiresAt": "2013-12-11T08:00:00Z",
        "Holder": "user",
        "ID": ID,
        "Kind": "soft",
        "Name": "release",
    }


def test_leases_are_removed_in_one_change(run: Run, store: FakeStore) -> None:
    store.will(Leases.remove).give(NotFound("No such lease: b"))
    assert run("lease", "rm", "a", "b") == (1, "", "Error: No such lease: b\n")
    assert [call[1] for call in store.calls] == [("a", "b")]


def test_lease_run_needs_a_command(run: Run, store: FakeStore) -> None:
    result = run("lease", "run", "app:1")
    assert result.status == 2
    assert result.err.startswith("'casstore lease run' requires '--' and a command\n")
    assert store.calls == []


@pytest.mark.parametrize(
    ("words", "said"),
    [([], {"on_demand": None}), (["--mode", "on-demand"], {"on_demand": True}),
     (["--mode=always"], {"on_demand": False})],
)  # fmt: skip
def test_publish_is_silent_and_sets_the_mode_it_was_given(
    run: Run, store: FakeStore, words: list[str], said: dict[str, object]
) -> None:
    assert run("publish", *words) == (0, "", "")
    assert store.calls == [("publish", (), said)]


def test_publish_knows_two_modes(run: Run) -> None:
    status, _, error = run("publish", "--mode", "never")

    assert status == 2
    assert "must be one of always, on-demand" in error
