"""casstore_registry: a registry that tests of clients can speak to."""

from __future__ import annotations

from tests.plugin.conftest import Run


def test_a_test_pulls_what_its_store_has(run: Run) -> None:
    run("""
        from casstore import Store

        def test_it(casstore_registry, casstore_image_factory, tmp_path):
            image = casstore_image_factory(files={"a": "b"}, tag=["app:1", "ghcr.io/owner/app:1"])
            registry = casstore_registry()
            with Store(tmp_path / "other") as other:
                for name in "app:1", "ghcr.io/owner/app:1":
                    other.pull(f"{registry.host}/{name}")
                    assert other.get(f"{registry.host}/{name}").id == image.id
            assert {one.status for one in registry.asked} == {200}
            assert registry.asked[0].method in ("GET", "HEAD")
    """).assert_outcomes(passed=1)


def test_an_image_that_comes_later_is_served_too(run: Run) -> None:
    run("""
        from urllib.request import urlopen

        def test_it(casstore_registry, casstore_image_factory):
            registry = casstore_registry()
            casstore_image_factory(tag="app:1")
            with urlopen(f"http://{registry.host}/v2/library/app/tags/list") as answer:
                assert b'"tags":["1"]' in answer.read()
    """).assert_outcomes(passed=1)


def test_a_login_can_be_asked_for(run: Run) -> None:
    run("""
        from base64 import b64encode
        from urllib.error import HTTPError
        from urllib.request import Request, urlopen
        import pytest

        def ask(registry, user, password):
            value = b64encode(f"{user}:{password}".encode()).decode()
            request = Request(f"http://{registry.host}/v2/")
            request.add_header("Authorization", "Basic " + value)
            try:
                with urlopen(request) as answer:
                    return answer.status
            except HTTPError as error:
                error.close()
                return error.code

        def test_it(casstore_registry):
            registry = casstore_registry(with_auth=("ann", "secret"))
            assert ask(registry, "ann", "secret") == 200
            assert ask(registry, "ann", "wrong") == 401
            assert ask(registry, "eve", "secret") == 401
            assert [one.user for one in registry.asked] == ["ann", None, None]
    """).assert_outcomes(passed=1)


def test_requests_can_be_told_to_fail(run: Run) -> None:
    run("""
        from http.client import HTTPConnection

        def test_it(casstore_registry):
            registry = casstore_registry(fail_next=2)
            connection = HTTPConnection(registry.host)
            def ask():
                connection.request("GET", "/v2/")
                answer = connection.getresponse()
                answer.read()
                return answer.status
            assert [ask(), ask(), ask()] == [503, 503, 200]
            registry.fail_next(status=500)
            assert [ask(), ask()] == [500, 200]
            connection.close()
            assert [one.status for one in registry.asked] == [503, 503, 200, 500, 200]
    """).assert_outcomes(passed=1)


def test_several_registries_may_serve_one_store(run: Run) -> None:
    run("""
        def test_it(casstore_registry):
            assert casstore_registry().host != casstore_registry().host
    """).assert_outcomes(passed=1)


def test_a_store_in_memory_cannot_be_served(run: Run) -> None:
    run("""
        import casstore, pytest

        @pytest.mark.casstore_in_memory
        def test_it(casstore_registry):
            with pytest.raises(casstore.UsageError, match="has no files"):
                casstore_registry()
    """).assert_outcomes(passed=1)
