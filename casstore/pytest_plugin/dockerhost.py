"""A store served to clients of Docker while a test runs, in a thread of its process."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from casstore.server.server import Server, ServerOptions
from casstore.store import Store, store_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def serving(store: Store) -> Iterator[str]:
    """Serve the Docker Engine API over a store; the address of the socket.

    The socket is in a directory of its own: the path of one has at most a hundred characters, which
    a test's own directory may have already.
    """
    directory = tempfile.mkdtemp(prefix="casstore-")  # for this user alone
    address = f"unix://{directory}/docker.sock"
    silent = os.open(os.devnull, os.O_WRONLY)
    options = ServerOptions(docker=(address,), log=silent)
    try:
        with Server(lambda: store_of(store.session.another(), Store), options) as server:
            service = server.service()
            thread = threading.Thread(target=service.run)
            thread.start()
            try:
                yield address
            finally:
                service.stop()
                thread.join()
    finally:
        os.close(silent)
        shutil.rmtree(directory, ignore_errors=True)
