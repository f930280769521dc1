"""pytest fixtures that give a test container images, without a daemon and without any tool.

    @pytest.mark.casstore_image("fixtures/busybox.tar")
    def test_scanner(casstore_store):
        image = casstore_store.get("busybox")
        ...

    casstore_store           a store of the test's own, holding what its casstore_image marks name
    casstore_load            a function: load an archive or layout into it, return the images
    casstore_image_factory   a function: build a tiny image into it, the same bytes every time
    casstore_rootfs          a function: unpack an image of it, return the directory
    casstore_assert_file     a function: an image of it has this file, with this content
    casstore_registry        a function: serve it as a registry on the loopback
    casstore_docker_host     the Docker Engine API over it, at a socket that DOCKER_HOST names
    casstore_session_store   one store for the whole session (of each xdist worker)

A test's store waits for the disk never: a power cut may damage it, and nothing else does. A test of
what survives a power cut is marked `casstore_durable`.

A test marked `casstore_in_memory` has its store in memory, for a fraction of the time: it has no
files, and no other process sees it.

An archive is read once a session, into a cache, of which each xdist worker has a copy; a test's
store is made from it with hard links, so that it costs milliseconds however large the image is. At
its end a test fails if its store is not sound any more, if it wrote into a shared file (which is
replaced before the next test), or if it leaves a lease behind. What it has not changed needs no
check: it is what was checked when the archive was read. A test that damages its store on
purpose is marked `casstore_unchecked`: it gets files of its own, and no check.

pytest imports this module in every session of whoever has casstore installed: it costs nothing
before a fixture is used, and does nothing at collection.
"""

from __future__ import annotations

from itertools import count

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from os import PathLike
    from pathlib import Path
    from typing import Any, Protocol

    from casstore.pytest_plugin.cache import Cache
    from casstore.results.images import Image
    from casstore.server.local import LocalRegistry
    from casstore.store import Store

    class Load(Protocol):
        """What `casstore_load` is."""

        def __call__(self, source: str | PathLike[str]) -> Sequence[Image]:
            """Load `source`; its images in load order."""
            ...

    class ImageFactory(Protocol):
        """What `casstore_image_factory` is."""

        def __call__(
            self,
            *,
            files: Mapping[str, str | bytes] | None = None,
            config: Mapping[str, Any] | None = None,
            parent: Image | str | None = None,
            tag: str | Sequence[str] = (),
            created: str | None = None,
        ) -> Image:
            """Build an image; see the fixture."""
            ...

    class Rootfs(Protocol):
        """What `casstore_rootfs` is."""

        def __call__(self, image: Image | str, *, platform: str | None = None) -> Path:
            """Unpack `image`; the directory."""
            ...

    class AssertFile(Protocol):
        """What `casstore_assert_file` is."""

        def __call__(
            self,
            image: Image | str,
            path: str,
            content: str | bytes | None = None,
            *,
            platform: str | None = None,
            **properties: object,
        ) -> None:
            """Fail unless the image has the file; see the fixture."""
            ...

    class ServeRegistry(Protocol):
        """What `casstore_registry` is."""

        def __call__(
            self, *, with_auth: tuple[str, str] | None = None, fail_next: int = 0
        ) -> LocalRegistry:
            """Serve the store; see the fixture."""
            ...


IMAGE_MARK = (
    "casstore_image(source, ...): load these archives or OCI layouts into the test's casstore_store"
    " (a relative path is looked up in the rootdir, then beside the test)"
)
UNCHECKED_MARK = (
    "casstore_unchecked: the test damages its casstore_store on purpose;"
    " no file in it is shared with other tests, and it is not checked at the end"
)

DURABLE_MARK = (
    "casstore_durable: the test's casstore_store is flushed to the disk as any other store;"
    " by default it never waits for the disk"
)
IN_MEMORY_MARK = (
    "casstore_in_memory: the test's casstore_store is kept in memory, for a fraction of the time;"
    " it has no files, and no other process sees it"
)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    for mark in (IMAGE_MARK, UNCHECKED_MARK, IN_MEMORY_MARK, DURABLE_MARK):
        config.addinivalue_line("markers", mark)


@pytest.fixture(scope="session")
def _casstore_cache(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Cache:
    from casstore.pytest_plugin.cache import Cache

    base = tmp_path_factory.getbasetemp()
    of_worker = getattr(request.config, "workerinput", None)
    if of_worker is None:
        return Cache(str(base / "casstore-cache"))
    # An xdist worker's folder; its parent is the session's.
    return Cache(str(base.parent / "casstore-cache"), worker=of_worker["workerid"])


@pytest.fixture
def casstore_store(request: pytest.FixtureRequest, _casstore_cache: Cache) -> Iterator[Store]:
    """A `casstore.Store` of the test's own, with the images that its casstore_image marks name."""
    sources = [
        _find(request, source)
        for mark in reversed(list(request.node.iter_markers("casstore_image")))
        for source in _arguments(mark)
    ]
    unchecked = request.node.get_closest_marker("casstore_unchecked") is not None
    if request.node.get_closest_marker("casstore_in_memory") is not None:
        made = _casstore_cache.new_store_in_memory(sources)
    else:
        path = str(request.getfixturevalue("tmp_path") / "casstore")
        volatile = request.node.get_closest_marker("casstore_durable") is None
        made = _casstore_cache.new_store(path, sources, private=unchecked, volatile=volatile)
    with made as store:
        yield store
        if not unchecked:
            _fail_unless_clean(store, _casstore_cache)


@pytest.fixture
def casstore_rootfs(casstore_store: Store, tmp_path: Path) -> Rootfs:
    """Unpack an image of `casstore_store` to a new directory of the test's own; return its path.

    Root keeps owners and devices, others do not (`Store.unpack`).
    """

    def unpack(image: Image | str, *, platform: str | None = None) -> Path:
        for number in count(1):
            directory = tmp_path / f"rootfs-{number}"
            if not directory.exists():
                casstore_store.unpack(_id_of(image), directory, platform=platform)
                return directory
        raise AssertionError

    return unpack


@pytest.fixture
def casstore_assert_file(casstore_store: Store) -> AssertFile:
    """Fail, with what there is instead, unless an image of `casstore_store` has a file.

    path: in the image, as /etc/passwd; links on the way to it are those of the image.
    content: what is in it (text is UTF-8), read through links; None: whatever there is.
    properties: what else it is, by the names of `casstore.ImageFile`: kind="symlink", mode=0o755,
        uid=0, target="dash" ...
    """

    def check(
        image: Image | str,
        path: str,
        content: str | bytes | None = None,
        *,
        platform: str | None = None,
        **properties: object,
    ) -> None:
        __tracebackhide__ = True
        from casstore.pytest_plugin.fileassertion import wrong_with
        from casstore.results.files import ImageFile

        for name in properties:
            if not hasattr(ImageFile, name):
                raise TypeError(f"a file of an image has no {name!r}")
        with casstore_store.files(_id_of(image), platform=platform) as files:
            lines = wrong_with(files, path, content, properties)
        if lines:
            name = image if isinstance(image, str) else image.id.short
            pytest.fail("\n".join((f"image {name}, {path}:", *(f"  {line}" for line in lines))))

    return check


@pytest.fixture
def casstore_registry(casstore_store: Store) -> Iterator[ServeRegistry]:
    """Serve `casstore_store` as a registry on the loopback, in this process, until the test ends.

    with_auth: a user and a password, without which it answers nothing (401).
    fail_next: so many requests, the first ones, are answered with status 503.

    What is returned has `host` ("localhost:41234"), `asked` (method, path, status and user of
    each request) and `fail_next(times=1, *, status=503)`. The store's image app:1 is HOST/app:1
    there, and one of another registry HOST/REGISTRY/NAME.
    """
    from casstore.server.local import LocalRegistry

    running: list[LocalRegistry] = []

    def serve(*, with_auth: tuple[str, str] | None = None, fail_next: int = 0) -> LocalRegistry:
        running.append(LocalRegistry(casstore_store, login=with_auth))
        running[-1].fail_next(fail_next)
        return running[-1]

    yield serve
    for one in running:
        one.close()


@pytest.fixture
def casstore_docker_host(casstore_store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve `casstore_store` to clients of Docker; return the address, `unix://PATH`.

    DOCKER_HOST is set to it for the test, so that docker, docker-py and what is built on them find
    it; they are not imported here. Containers are leases: a test that leaves one fails.
    """
    from casstore.pytest_plugin.dockerhost import serving

    for name in ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    with serving(casstore_store) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        yield address


@pytest.fixture(scope="session")
def casstore_session_store(
    tmp_path_factory: pytest.TempPathFactory, _casstore_cache: Cache
) -> Iterator[Store]:
    """A `casstore.Store` for the whole session: to be filled once and read by many tests."""
    path = str(tmp_path_factory.mktemp("casstore-session") / "store")
    with _casstore_cache.new_store(path) as store:
        yield store
        _fail_unless_clean(store, _casstore_cache)


@pytest.fixture
def casstore_load(
    request: pytest.FixtureRequest, casstore_store: Store, _casstore_cache: Cache
) -> Load:
    """Load an archive or an OCI layout into `casstore_store`; return its images, in load order."""

    def load(source: str | PathLike[str]) -> Sequence[Image]:
        return _casstore_cache.load(casstore_store, _find(request, source))

    return load


@pytest.fixture
def casstore_image_factory(casstore_store: Store) -> ImageFactory:
    """Build a tiny image into `casstore_store` without any tool, the same bytes every time.

    files: path -> content (text is UTF-8; a path that ends in "/" is a folder); none: no layer.
    config: how it runs, as in an OCI config ({"Env": [...], "Labels": {...}}), over the parent's.
    parent: an image in the store (as an argument of `get`), which becomes its recorded parent.
    tag: a name or several.
    created: RFC 3339; the parent's time, or the beginning of 2000, by default.
    """

    def build(
        *,
        files: Mapping[str, str | bytes] | None = None,
        config: Mapping[str, Any] | None = None,
        parent: Image | str | None = None,
        tag: str | Sequence[str] = (),
        created: str | None = None,
    ) -> Image:
        from casstore.pytest_plugin.tinyimage import build_image

        tags = (tag,) if isinstance(tag, str) else tuple(tag)
        parent_id = None if parent is None else _image(casstore_store, parent).id
        return build_image(
            casstore_store,
            files=files or {},
            config=config or {},
            parent=parent_id,
            tags=tags,
            created=created,
        )

    return build


def _image(store: Store, given: Image | str) -> Image:
    return store.get(given) if isinstance(given, str) else given


def _arguments(mark: pytest.Mark) -> tuple[str | PathLike[str], ...]:
    if mark.kwargs or not mark.args:
        pytest.fail("casstore_image takes one or more paths and no keywords", pytrace=False)
    return mark.args


def _find(request: pytest.FixtureRequest, source: str | PathLike[str]) -> str:
    """The absolute path of `source`: as seen from the rootdir, else from beside the test."""
    tried = [request.config.rootpath / source, request.node.path.parent / source]
    for path in tried:
        if path.exists():
            return str(path)
    seen = "\n  ".join(str(path) for path in dict.fromkeys(tried))
    pytest.fail(f"no archive or layout for casstore at\n  {seen}", pytrace=False)


def _fail_unless_clean(store: Store, cache: Cache) -> None:
    faults = cache.faults(store)
    if faults:
        lines = "\n  ".join(faults)
        pytest.fail(f"the test leaves its casstore store unclean:\n  {lines}", pytrace=False)


def _id_of(image: Image | str) -> str:
    return image if isinstance(image, str) else image.id
