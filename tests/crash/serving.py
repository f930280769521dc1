"""Clients that push to a served store, pull from it and remove from it, while the server is killed.

Each client has a tag of its own, which must always be what it last made it; all share some tags and
most layers. Uploads come whole, in pieces, and with breaks; what was answered with 202 or 201 must
be there after a kill. Beside them commands remove, collect and look. No answer is of the class 5xx
but 503 with Retry-After.
"""

from __future__ import annotations

import gzip
import http.client
import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from casstore import Store
from casstore.model.digest import Digest, sha256
from casstore.store.receiving import uploads_of
from tests.crash.checks import leftovers, published_problems
from tests.crash.harness import ENVIRONMENT
from tests.transfer.building import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Layout,
    config_of,
    layer,
    tar_of,
)

REPOSITORY = "team/app"
SHARED = ("shared-1", "shared-2")
LAYERS = 6
WAIT = 20.0  # seconds for an answer, and for the server to be there again
PIECE = 3000
UNIQUE = 40_000  # bytes of the layer that each image has alone
TRIES = 20  # of one push, where others remove what it relies on
# What is said where somebody else works on the same names.
CONFLICTS = re.compile(r"No such image|No such lease|is held|must be forced|no such id")


class Broken(Exception):
    """No answer, or not the whole of it: the server was killed."""


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: dict[str, str]
    body: bytes


class Keeper:
    """The server, killed now and then and started again at the same port."""

    def __init__(self, store: Path, seed: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._store = store
        self._chance = random.Random(seed)  # noqa: S311 - a history to repeat
        self.kills = 0
        self.wrong: list[str] = []
        self._start()

    def run(self, stop: threading.Event) -> None:
        """Kill it until `stop`; then let it end by itself."""
        while not stop.wait(self._chance.uniform(0.5, 4.0)):
            self._end(signal.SIGKILL)
            self.kills += 1
            self._start()
        self._end(signal.SIGTERM)

    def _start(self) -> None:
        command = [sys.executable, "-m", "casstore", "--store", str(self._store), "serve"]
        command += ["--registry", str(self.port), "--workers", str(self._chance.choice((1, 2)))]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
        self._listening = threading.Thread(target=self._listen, args=(self._process,))
        self._listening.start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr as said:
            for line in said:
                if line.startswith(("Traceback", "Error:")):
                    self.wrong.append(f"the server says: {line.strip()}")

    def _end(self, number: signal.Signals) -> None:
        self._process.send_signal(number)
        self._process.wait(WAIT * 2)
        self._listening.join(WAIT)  # its workers have the pipe, too, and end with it


class Client:
    """One client, with a tag of its own."""

    def __init__(self, number: int, keeper: Keeper, seed: int) -> None:
        self._tag = f"own-{number}"
        self._port = keeper.port
        self._chance = random.Random(seed)  # noqa: S311 - a history to repeat
        self._mine: Digest | None = None  # the manifest that the own tag has
        self._unsure: list[Digest | None] = []  # or one of these: an answer did not come
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []

    def run(self, seconds: float) -> None:
        """Work until the time is over."""
        end = time.monotonic() + seconds
        steps: list[Callable[[], None]] = [
            self.push_own, self.push_own, self.push_shared, self.pull_own, self.pull_own,
            self.pull_shared, self.remove_own, self.remove_shared, self.abandon, self.look,
        ]  # fmt: skip
        while time.monotonic() < end and len(self.wrong) < 5:
            step = self._chance.choice(steps)
            self.done[step.__name__] += 1
            try:
                step()
            except Broken:
                self.done["broken"] += 1
            except AssertionError as error:
                self.wrong.append(f"{self._tag}, {step.__name__}: {error}")

    # Steps

    def push_own(self) -> None:
        self._push(self._tag)

    def push_shared(self) -> None:
        self._push(self._chance.choice(SHARED))

    def pull_own(self) -> None:
        """The own image is whole, whatever others remove."""
        found = self._pull(self._tag)
        if found not in (self._unsure or [self._mine]):
            raise AssertionError(f"it is {found}, not {self._mine} ({self._unsure})")
        self._mine, self._unsure = found, []

    def pull_shared(self) -> None:
        self._pull(self._chance.choice(SHARED), complete=False)

    def remove_own(self) -> None:
        before = self._unsure or [self._mine]
        self._unsure = [*before, None]
        answer = self._ask("DELETE", f"manifests/{self._tag}")
        self._expect(answer, 202, 404)
        self._mine, self._unsure = None, []

    def remove_shared(self) -> None:
        answer = self._ask("GET", f"manifests/{self._chance.choice(SHARED)}")
        self._expect(answer, 200, 404)
        if answer.status == 200:
            self._expect(self._ask("DELETE", f"manifests/{sha256(answer.body)}"), 202, 404)

    def abandon(self) -> None:
        """An upload that nobody goes on with, or that is cancelled."""
        place = self._begin()
        self._expect(self._ask("PATCH", place, b"x" * PIECE), 202)
        if self._chance.random() < 0.5:
            self._expect(self._ask("DELETE", place), 204)

    def look(self) -> None:
        answer = self._ask("GET", "tags/list")
        self._expect(answer, 200, 404)
        if answer.status == 200:
            json.loads(answer.body)

    # A push

    def _push(self, tag: str) -> None:
        chosen = sorted(self._chance.sample(range(LAYERS), 3))
        layers = [layer(f"layer {number} " * 2000) for number in chosen]
        unique = tar_of({"own": self._chance.randbytes(UNIQUE)})  # nobody else can take it away
        layout = Layout()
        top = layout.manifest(
            layout.blob(config_of(*layers, unique), OCI_CONFIG),
            [
                layout.blob(gzip.compress(each, mtime=0), OCI_LAYER + "+gzip")
                for each in (*layers, unique)
            ],
        )  # fmt: skip
        manifest = layout.of(top)
        described = json.loads(manifest)
        own = (described["config"], described["layers"][-1])
        attempt = 0
        while True:
            for one in (described["config"], *described["layers"]):
                if not self._has(one["digest"]):
                    self._upload(layout.of(one), own=one in own)
            if tag == self._tag and not attempt:
                self._unsure = [*(self._unsure or [self._mine]), sha256(manifest)]
            answer = self._ask("PUT", f"manifests/{tag}", manifest, {"Content-Type": OCI_MANIFEST})
            attempt += 1
            if answer.status != 404 or attempt == TRIES:
                break
            # A layer that others have was removed with their last image since it was looked for.
            self._expect(answer, 404)
            self.done["tried again"] += 1
        self._expect(answer, 201)
        if tag == self._tag:
            self._mine, self._unsure = sha256(manifest), []

    def _has(self, digest: str) -> bool:
        answer = self._ask("HEAD", f"blobs/{digest}")
        self._expect(answer, 200, 404)
        return answer.status == 200

    def _upload(self, data: bytes, *, own: bool) -> None:
        """Bring a blob; after a kill go on with what was answered.

        `own`: nobody else brings it, or takes it away.
        """
        digest = sha256(data)
        if self._chance.random() < 0.3:
            try:
                self._expect(self._ask("POST", f"blobs/uploads/?digest={digest}", data), 201)
            except Broken:
                self._upload(data, own=own)
        else:
            self._in_pieces(data, digest)
        if own and not self._has(digest):
            raise AssertionError(f"a blob is lost that was answered with 201: {digest}")

    def _in_pieces(self, data: bytes, digest: Digest) -> None:
        place = self._begin()
        done = ended = False
        while not done:
            try:
                at = self._arrived(place)
                if at is None:
                    if not ended:
                        raise AssertionError(f"an upload is lost: {place}")
                    return  # it was finished, and the answer did not come
                piece = data[at : at + PIECE]
                if at + len(piece) < len(data):
                    headers = {"Content-Range": f"{at}-{at + len(piece) - 1}"}
                    self._expect(self._ask("PATCH", place, piece, headers), 202)
                    continue
                ended = True
                self._expect(self._ask("PUT", f"{place}?digest={digest}", piece), 201)
                done = True
            except Broken:
                self.done["gone on"] += 1

    def _begin(self) -> str:
        answer = self._ask("POST", "blobs/uploads/")
        self._expect(answer, 202)
        return answer.headers["location"]

    def _arrived(self, place: str) -> int | None:
        answer = self._ask("GET", place)
        self._expect(answer, 204, 404)
        if answer.status == 404:
            return None
        last = int(answer.headers["range"].removeprefix("0-"))
        return last + 1 if last else 0

    # A pull

    def _pull(self, tag: str, *, complete: bool = True) -> Digest | None:
        """The manifest that a tag has; all that it names is there and right."""
        answer = self._ask("GET", f"manifests/{tag}")
        self._expect(answer, 200, 404)
        if answer.status == 404:
            return None
        document = json.loads(answer.body)
        for one in (document["config"], *document["layers"]):
            blob = self._ask("GET", f"blobs/{one['digest']}")
            if blob.status == 404 and not complete:
                return None  # somebody has removed the image meanwhile
            self._expect(blob, 200)
            if sha256(blob.body) != one["digest"]:
                raise AssertionError(f"blob {one['digest']} has other content")
        return sha256(answer.body)

    # A request

    def _ask(
        self, method: str, place: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        """One request, made again while the server says that it should be.

        Raises:
            Broken: no answer came.
        """
        path = place if place.startswith("/") else f"/v2/{REPOSITORY}/{place}"
        until = time.monotonic() + WAIT * 3
        while True:
            answer = self._once(method, path, body, headers or {})
            if answer.status != 503:
                break
            if "retry-after" not in answer.headers:
                raise AssertionError(f"{method} {path}: 503 without Retry-After")
            self.done["503"] += 1
            if time.monotonic() > until:
                raise AssertionError(f"{method} {path}: 503 for a minute: {answer.body!r}")
            time.sleep(0.2)
        if answer.status >= 500:
            raise AssertionError(f"{method} {path}: {answer.status} {answer.body!r}")
        return answer

    def _once(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        until = time.monotonic() + WAIT
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=WAIT)
            try:
                connection.connect()
                break
            except OSError as error:
                connection.close()
                if time.monotonic() > until:
                    raise AssertionError(f"the server does not come back: {error}") from None
                time.sleep(0.05)
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException):
            raise Broken from None
        finally:
            connection.close()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, data)

    @staticmethod
    def _expect(answer: Answer, *statuses: int) -> None:
        if answer.status not in statuses:
            raise AssertionError(f"{answer.status}, not {statuses}: {answer.body[:300]!r}")


class Beside:
    """Commands on the same store."""

    def __init__(self, store: Path, seed: int) -> None:
        self._store = store
        self._chance = random.Random(seed)  # noqa: S311 - a history to repeat
        self.commands = 0
        self.wrong: list[str] = []

    def run(self, seconds: float) -> None:
        """Work until the time is over."""
        end = time.monotonic() + seconds
        shared = [f"{REPOSITORY}:{tag}" for tag in SHARED]
        choices = [
            ["gc"], ["images", "-a"], ["prune", "-f"], ["rmi", shared[0]], ["rmi", shared[1]],
            ["tag", shared[0], f"{REPOSITORY}:{SHARED[1]}"], ["fsck", "--quick"], ["df"],
        ]  # fmt: skip
        while time.monotonic() < end and len(self.wrong) < 5:
            words = self._chance.choice(choices)
            self.commands += 1
            done = subprocess.run(
                [sys.executable, "-m", "casstore", "--store", str(self._store), *words],
                capture_output=True, text=True, check=False, env=ENVIRONMENT,
            )  # fmt: skip
            said = done.stderr or done.stdout
            if words[0] == "fsck":  # what a kill has left to the next change is no damage
                if re.search("^error", said, re.MULTILINE):
                    self.wrong.append(said)
            elif done.returncode and not CONFLICTS.search(done.stderr):
                self.wrong.append(f"{' '.join(words)}: exit status {done.returncode}: {said}")


class Result(NamedTuple):
    """What a run saw."""

    done: Counter[str]
    kills: int
    commands: int
    wrong: list[str]


def serve_and_kill(folder: Path, *, seconds: float, clients: int, seed: int) -> Result:
    """Let clients work on a served store in an empty folder."""
    store = folder / "store"
    with Store(str(store)) as first:
        uploads_of(first.session)
    keeper = Keeper(store, seed)
    stop = threading.Event()
    killing = threading.Thread(target=keeper.run, args=(stop,))
    workers = [Client(number, keeper, seed * 1000 + number) for number in range(clients)]
    beside = Beside(store, seed + 1)
    work = [*(worker.run for worker in workers), beside.run]
    running = [threading.Thread(target=one, args=(seconds,)) for one in work]
    killing.start()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    for worker in workers:
        try:
            worker.pull_own()
        except (AssertionError, Broken) as error:
            worker.wrong.append(f"at the end: {error}")
    stop.set()
    killing.join()
    done: Counter[str] = sum((worker.done for worker in workers), Counter())
    wrong = [one for worker in workers for one in worker.wrong]
    wrong += [*beside.wrong, *keeper.wrong, *_at_the_end(store)]
    return Result(done, keeper.kills, beside.commands, wrong)


def _at_the_end(store: Path) -> list[str]:
    with Store(str(store)) as last:
        last.gc()
        last.settle()
        report = last.check(content=True)
        findings = [str(one) for one in report.findings if one.level != "note"]
    return findings + [
        one for one in (published_problems(store), leftovers(store, parts=True)) if one
    ]
