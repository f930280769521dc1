"""events on the command line: Docker's lines, JSON and templates."""

from __future__ import annotations

import io
import json
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from casstore import BadFilter, Digest, Event, Store
from tests.cli.fakes import ID, NOW, FakeStore, Run, ref
from tests.transfer.building import layer

IMAGE = Digest.of_hex(ID)
HOST = "shop.example:5000"
EVENTS = [
    Event(NOW, "tag", IMAGE, ref("app:1"), {}, 4),
    Event(NOW + 5, "pull", IMAGE, ref(f"{HOST}/app:1"), {}, 5),
    Event(NOW + 6_000_000_000, "lease", IMAGE, None, {"lease": "night"}, 5),
    Event(NOW + 7_000_000_000, "prune", None, None, {"reclaimed": "12"}, None),
]


@pytest.fixture
def full(store: FakeStore) -> FakeStore:
    store.will(Store.events).give(iter(EVENTS))
    return store


def test_a_line_is_dockers(run: Run, full: FakeStore) -> None:
    assert run("events").out.splitlines() == [
        f"2013-12-11T06:00:00.000000000Z image tag {IMAGE} (name=app:1)",
        f"2013-12-11T06:00:00.000000005Z image pull {HOST}/app:1 (image={IMAGE}, name={HOST}/app)",
        f"2013-12-11T06:00:06.000000000Z image lease {IMAGE} (lease=night, name={IMAGE})",
        "2013-12-11T06:00:07.000000000Z image prune  (reclaimed=12)",
    ]


def test_a_time_is_in_the_zone_of_who_asks(
    run: Run, full: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert run("events").out.startswith("2013-12-11T11:30:00.000000000+05:30 image tag")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_json_is_a_message_of_dockers_api(run: Run, full: FakeStore) -> None:
    first, *_, last = run("events", "--format", "json").out.splitlines()

    assert list(json.loads(first).items()) == [
        ("status", "tag"),
        ("id", IMAGE),
        ("Type", "image"),
        ("Action", "tag"),
        ("Actor", {"ID": IMAGE, "Attributes": {"name": "app:1"}}),
        ("scope", "local"),
        ("time", NOW // 10**9),
        ("timeNano", NOW),
        ("generation", 4),
    ]
    assert json.loads(last) == {
        "status": "prune", "Type": "image", "Action": "prune",
        "Actor": {"ID": "", "Attributes": {"reclaimed": "12"}}, "scope": "local",
        "time": NOW // 10**9 + 7, "timeNano": NOW + 7 * 10**9,
    }  # fmt: skip


def test_a_template_has_gos_names(run: Run, full: FakeStore) -> None:
    form = "{{.Action}} {{.ID}} {{.Actor.ID}} {{.Actor.Attributes.name}} {{.Time}} {{.TimeNano}}"
    line = run("events", "--format", form + " {{.Type}} {{.Scope}} {{.Status}}").out.splitlines()[0]

    assert line == f"tag {IMAGE} {IMAGE} app:1 {NOW // 10**9} {NOW} image local tag"


def test_a_template_can_be_json(run: Run, full: FakeStore) -> None:
    lines = run("events", "--format", "{{json .Actor.Attributes}}").out.splitlines()

    assert lines[0] == '{"name":"app:1"}'


def test_a_field_that_does_not_exist_is_an_error(run: Run, full: FakeStore) -> None:
    result = run("events", "--format", "{{.Nope}}")

    assert result.status == 1
    assert result.err.startswith("Error: template parsing error:")


def test_what_is_asked_for_is_what_docker_takes(run: Run, store: FakeStore) -> None:
    store.will(Store.events).give(iter(()))
    given = ("-f", "event=tag", "--filter", "image=app", "--since", "10m", "--until", "0s")

    assert run("events", *given) == (0, "", "")
    ((_, _, asked),) = store.calls
    del asked["wait"]
    assert asked == {
        "since": "10m", "until": "0s", "follow": True, "filters": ("event=tag", "image=app"),
    }  # fmt: skip


def test_a_wrong_filter_is_one_line(run: Run, store: FakeStore) -> None:
    store.will(Store.events).give(BadFilter("Invalid filter 'nosuch'"))

    assert run("events", "-f", "nosuch=1") == (1, "", "Error: Invalid filter 'nosuch'\n")
    assert run("events", "-f", "tag").status == 2


def test_a_control_character_does_not_reach_the_terminal(run: Run, store: FakeStore) -> None:
    event = Event(NOW, "lease", IMAGE, None, {"lease": "a\x1b[2J\nb"}, 1)
    store.will(Store.events).give(iter([event]))

    out = run("events").out
    assert "\x1b" not in out
    assert len(out.splitlines()) == 1


def casstore(store: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "casstore", "--store", str(store), *words]


@pytest.fixture
def real(tmp_path: Path) -> Path:
    path = tmp_path / "a store"
    with Store(path) as store:
        store.import_image(io.BytesIO(layer("root")), "a:1")
    return path


def test_who_follows_is_told_at_once_and_ends_with_a_signal(real: Path) -> None:
    events = subprocess.Popen(
        casstore(real, "events", "--format", "{{.Action}} {{.Actor.Attributes.name}}"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert events.stdout is not None
        number = 0
        while not _ready(events.stdout.fileno()):  # it may not look yet when the first are tagged
            number += 1
            subprocess.run(casstore(real, "tag", "a:1", f"b:{number}"), check=True)
        assert events.stdout.readline().startswith("tag b:")
        events.send_signal(
            signal.SIGTERM
        )  # SIGINT may be ignored where tests run in the background
        _, err = events.communicate(timeout=60)
        assert (events.returncode, err) == (143, "Terminated\n")
    finally:
        events.kill()
        events.communicate()


def _ready(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 1.0)[0])


def test_up_to_now_it_ends_by_itself(real: Path) -> None:
    done = subprocess.run(
        casstore(real, "events", "--until", "0s"), capture_output=True, text=True, check=True
    )

    assert done.stdout.endswith("(name=a:1)\n")
    assert done.stderr == ""
