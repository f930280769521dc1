"""Calls in threads, without `concurrent.futures`: what comes back, when, and what is not done."""

from __future__ import annotations

import threading

import pytest

from casstore.startup.workers import Cancelled, Workers


def test_what_calls_return_comes_back_to_whoever_asked_for_it() -> None:
    with Workers(3, "test") as pool:
        outcomes = [pool.submit(divmod, number, 7) for number in range(100)]

        assert [one.result() for one in outcomes] == [divmod(number, 7) for number in range(100)]


def test_what_a_call_raises_is_raised_where_its_result_is_asked_for() -> None:
    with Workers(1, "test") as pool:
        failed, other = pool.submit(int, "x"), pool.submit(int, "7")
        for _ in range(2):
            with pytest.raises(ValueError, match="invalid literal"):
                failed.result()

        assert other.result() == 7


def test_there_are_as_many_threads_as_were_asked_for_and_no_more() -> None:
    together = threading.Barrier(3)
    with Workers(3, "test") as pool:
        names = [pool.submit(_meet, together) for _ in range(9)]

    assert {one.result() for one in names} == {"test_0", "test_1", "test_2"}


def _meet(together: threading.Barrier) -> str:
    together.wait(60)
    return threading.current_thread().name


def test_a_wait_with_a_limit_says_whether_it_is_over() -> None:
    go = threading.Event()
    with Workers(1, "test") as pool:
        outcome = pool.submit(go.wait, 60)
        before = outcome.wait(0.01)
        go.set()

        assert (before, outcome.wait(60), outcome.result()) == (False, True, True)


def test_what_no_thread_has_begun_is_not_done_after_a_cancel() -> None:
    begun, go, done = threading.Event(), threading.Event(), list[str]()

    def first() -> None:
        begun.set()
        go.wait(60)
        done.append("first")

    pool = Workers(1, "test")
    outcome, cancelled = pool.submit(first), pool.submit(done.append, "second")
    begun.wait(60)
    pool.shutdown(wait=False, cancel=True)
    go.set()
    pool.shutdown()
    with pytest.raises(Cancelled):
        cancelled.result()

    outcome.result()
    assert done == ["first"]


def test_at_the_end_of_the_context_all_is_done_and_no_thread_is_left() -> None:
    done: list[int] = []
    with Workers(4, "test-ends") as pool:
        for number in range(50):
            pool.submit(done.append, number)

    assert sorted(done) == list(range(50))
    assert not [one for one in threading.enumerate() if one.name.startswith("test-ends")]


def test_fewer_threads_than_asked_for_do_the_work_where_the_system_gives_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start
    begun: list[threading.Thread] = []

    def refusing(self: threading.Thread) -> None:
        if begun:
            raise RuntimeError("can't start new thread")
        begun.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refusing)
    with Workers(4, "test") as pool:
        outcomes = [pool.submit(abs, -number) for number in range(20)]

        assert [one.result() for one in outcomes] == list(range(20))


def test_without_any_thread_a_call_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refusing)
    with Workers(4, "test") as pool, pytest.raises(RuntimeError, match="new thread"):
        pool.submit(abs, 1)
