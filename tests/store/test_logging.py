"""Warnings and notices reach the logger `casstore`, each once; nobody who asks for no log pays."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from casstore import Access, StorageError, Store, Transport
from casstore.backends.local import ingest
from casstore.backends.local.published import LayoutFile
from casstore.errors import warn
from tests.architecture.sources import ROOT
from tests.store.test_foreign import foreign_image, rewrite
from tests.transfer.building import Layout, docker_archive, layer

ARCHIVE = docker_archive({"layers": [layer("a")], "tags": ["app:1"]})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(ARCHIVE))
        store.tag("app:1", "app:2")
        yield store


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What has been logged, which is all of one logger and one level."""
    assert {(one.name, one.levelno) for one in caplog.records} <= {("casstore", logging.WARNING)}
    messages = [one.getMessage() for one in caplog.records]
    caplog.clear()
    return messages


CHANGES: dict[str, Callable[[Store], object]] = {
    "tag": lambda store: store.tag("app:1", "new:1"),
    "remove": lambda store: store.remove(["app:1"]),
    "prune": lambda store: store.prune(all=True),
    "pin": lambda store: store.pin("app:1"),
    "load": lambda store: store.load(
        io.BytesIO(docker_archive({"layers": [layer("b")], "tags": ["new:1"]}))
    ),
    "collect": lambda store: store.collect({"keep": 0, "min-age": "0s"}),
    "import": lambda store: store.import_image(io.BytesIO(layer("c")), "new:1"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_change_could_not_finish_is_logged(
    change: str, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise StorageError("cannot publish index.json: input/output error")

    monkeypatch.setattr(LayoutFile, "write", fail)
    monkeypatch.setattr(LayoutFile, "splice", fail)

    result = CHANGES[change](store)

    (warning,) = logged(caplog)
    assert warning.startswith("cannot publish index.json: ")
    assert warning.endswith("; the next change will")
    assert getattr(result, "warnings", (warning,)) == (warning,)


def test_what_does_not_come_in_is_logged(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    result = store.load(io.BytesIO(docker_archive()))

    assert logged(caplog) == list(result.warnings) != []


def test_a_name_that_cannot_be_used_is_logged(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layout = Layout()
    layout.publish(layout.image("x"), "Not A Name")

    result = store.load(layout.write(str(tmp_path / "layout")))

    assert logged(caplog) == list(result.warnings) != []


def test_staging_that_is_left_is_logged(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(path: str) -> tuple[int, int]:
        raise StorageError(f"cannot remove {path}")

    monkeypatch.setattr(ingest, "remove_tree", fail)
    store.import_image(io.BytesIO(layer("c")), "new:1")  # which returns no warnings

    assert [text.startswith("cannot remove") for text in logged(caplog)] == [True]


def test_what_another_tool_did_is_logged_and_noticed(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    rewrite(store, foreign_image(store, "foreign", name="other:1"))
    store.pin("app:1")

    assert logged(caplog) == store.notices != []


def test_what_a_dry_run_does_not_see_is_logged_and_noticed(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    rewrite(store, foreign_image(store, "foreign", name="other:1"))
    store.remove(["app:1"], dry_run=True)

    assert logged(caplog) == store.notices != []


def test_a_pattern_of_a_policy_that_fits_nothing_is_logged(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    result = store.collect({"keep": 0, "protect": ["nosuch:*"]}, dry_run=True)

    assert logged(caplog) == list(result.warnings) != []


def test_what_a_registry_or_a_file_of_logins_has_to_say_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Transport(Access()) as transport:
        transport.notice("the file of logins cannot be read")
        transport.notice("the file of logins cannot be read")

        assert logged(caplog) == ["the file of logins cannot be read"]
        assert transport.take_notices() == ("the file of logins cannot be read",)
    assert logged(caplog) == []


def test_a_message_is_one_line_and_no_format(caplog: pytest.LogCaptureFixture) -> None:
    warn(["100 %s of\nit \x1b[31m"])

    assert logged(caplog) == ["100 %s of\\nit \\x1b[31m"]


# In a process of its own

NOTHING_IN_IT = docker_archive()
LOAD = """
import sys
sys.path.insert(0, sys.argv[3])
{before}
import casstore
with casstore.Store(sys.argv[1]) as store:
    print(len(store.load(sys.argv[2]).warnings), "logging" in sys.modules)
"""
WARNING = "lists no images, so nothing was loaded"


def output(tmp_path: Path, program: str, *words: str) -> tuple[str, str]:
    archive = tmp_path / "empty.tar"
    archive.write_bytes(NOTHING_IN_IT)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, tmp_path / "store", archive, ROOT, *words],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout, done.stderr


def test_where_nobody_logs_logging_is_not_imported(tmp_path: Path) -> None:
    assert output(tmp_path, LOAD.format(before="")) == ("1 False\n", "")


def test_where_nothing_is_configured_nothing_is_printed(tmp_path: Path) -> None:
    assert output(tmp_path, LOAD.format(before="import logging")) == ("1 True\n", "")


def test_a_program_that_configures_its_log_has_the_warnings_in_it(tmp_path: Path) -> None:
    before = "import logging; logging.basicConfig(format='%(levelname)s:%(name)s:%(message)s')"

    printed, log = output(tmp_path, LOAD.format(before=before))

    assert printed == "1 True\n"
    assert log.startswith("WARNING:casstore:")
    assert log.endswith(WARNING + "\n")
    assert log.count("\n") == 1


def test_a_handler_of_its_own_has_them_too(tmp_path: Path) -> None:
    before = """
import logging
logging.getLogger("casstore").addHandler(logging.StreamHandler())
logging.getLogger("casstore").propagate = False
logging.basicConfig()
"""
    _, log = output(tmp_path, LOAD.format(before=before))

    assert log.endswith(WARNING + "\n")
    assert log.count("\n") == 1


def test_the_command_line_prints_a_warning_once(tmp_path: Path) -> None:
    program = """
import sys
sys.path.insert(0, sys.argv[3])
import logging
from casstore.__main__ import main
sys.argv = ["casstore", "--store", sys.argv[1], "load", "-i", sys.argv[2]]
main()
"""
    _, printed = output(tmp_path, program)

    assert printed.startswith("Warning: ")
    assert printed.count(WARNING) == printed.count("\n") == 1
