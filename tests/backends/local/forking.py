"""A child of this process that looks at something, and stays as long as it is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MANY = 40  # files, more than the descriptors that are free between those in use


@contextmanager
def child(does: Callable[[], bool]) -> Iterator[None]:
    """A forked child that lives while the block runs; what it `does` before that must be True."""
    (begun, begins), (ending, ends) = os.pipe(), os.pipe()
    process = os.fork()
    if process == 0:
        status = 1
        try:
            os.close(ends)
            status = 0 if does() else 1
            os.write(begins, b"!")
            os.read(ending, 1)
        finally:
            os._exit(status)
    os.close(begins)
    try:
        os.read(begun, 1)
        yield
    finally:
        os.close(ends)
        _, status = os.waitpid(process, 0)
        os.close(begun)
        os.close(ending)
    assert status == 0


def open_many() -> list[int]:
    """Descriptors of new files, in all the places that are free."""
    return [os.open(os.devnull, os.O_RDONLY) for _ in range(MANY)]


def are_open(descriptors: list[int]) -> bool:
    try:
        for descriptor in descriptors:
            os.fstat(descriptor)
    except OSError:
        return False
    return True
