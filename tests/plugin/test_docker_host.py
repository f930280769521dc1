"""casstore_docker_host: a socket over the test's store."""

from __future__ import annotations

import shutil

import pytest

from tests.plugin.conftest import Run

ASKING = """
        import http.client
        import os
        import socket

        class Engine(http.client.HTTPConnection):
            def __init__(self):
                super().__init__("docker", timeout=20)

            def connect(self):
                self.sock = socket.socket(socket.AF_UNIX)
                self.sock.connect(os.environ["DOCKER_HOST"].removeprefix("unix://"))

            def get(self, path, method="GET", body=None):
                self.request(method, path, body)
                return self.getresponse().read()
"""


def test_the_store_of_the_test_is_served_where_docker_host_says(run: Run) -> None:
    result = run(
        ASKING
        + """
        def test_it(casstore_docker_host, casstore_store, casstore_image_factory):
            assert os.environ["DOCKER_HOST"] == casstore_docker_host
            casstore_image_factory(files={"a": "1"}, tag="app:1")
            engine = Engine()
            assert b'"RepoTags":["app:1"]' in engine.get("/images/json")
            engine.get("/images/app:1", "DELETE")
            assert casstore_store.images() == []
            engine.close()
    """
    )

    result.assert_outcomes(passed=1)


def test_it_serves_a_store_in_memory_too(run: Run) -> None:
    result = run(
        ASKING
        + """
        import pytest

        @pytest.mark.casstore_in_memory
        def test_it(casstore_docker_host, casstore_image_factory):
            casstore_image_factory(files={"a": "1"}, tag="app:1")
            engine = Engine()
            assert b'"RepoTags":["app:1"]' in engine.get("/images/json")
            assert b"manifest.json" in engine.get("/images/app:1/get")
            engine.close()
    """
    )

    result.assert_outcomes(passed=1)


def test_a_container_that_stays_is_told(run: Run) -> None:
    result = run(
        ASKING
        + """
        def test_it(casstore_docker_host, casstore_image_factory):
            casstore_image_factory(files={"a": "1"}, tag="app:1")
            engine = Engine()
            engine.get("/containers/create?name=box", "POST", '{"Image": "app:1"}')
            engine.close()
    """
    )

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*docker-box*"])


def test_docker_host_and_the_socket_end_with_the_test(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    result = run(
        """
        import os

        kept = []

        def test_it(casstore_docker_host):
            kept.append(casstore_docker_host.removeprefix("unix://"))
            assert os.path.exists(kept[0])

        def test_after_it():
            assert "DOCKER_HOST" not in os.environ
            assert not os.path.exists(os.path.dirname(kept[0]))
    """
    )

    result.assert_outcomes(passed=2)


def test_no_client_of_docker_is_imported(run: Run) -> None:
    result = run(
        """
        import sys

        def test_it(casstore_docker_host):
            assert "docker" not in sys.modules
    """
    )

    result.assert_outcomes(passed=1)


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not installed")
def test_docker_works_on_it(run: Run) -> None:
    result = run(
        """
        import subprocess

        def test_it(casstore_docker_host, casstore_image_factory):
            casstore_image_factory(files={"a": "1"}, tag="app:1")
            done = subprocess.run(["docker", "images", "-q"], capture_output=True, check=True)
            assert len(done.stdout) == 13
    """
    )

    result.assert_outcomes(passed=1)
