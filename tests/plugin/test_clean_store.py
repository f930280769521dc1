from __future__ import annotations

import pytest

from tests.plugin.conftest import Run

DAMAGE = """
    import os

    def damage(store):
        blobs = os.path.join(store.path, "blobs", "sha256")
        blob = os.path.join(blobs, sorted(os.listdir(blobs))[0])
        os.chmod(blob, 0o644)
        with open(blob, "r+b") as file:
            file.write(b"!")
"""


def test_a_store_that_misses_a_blob_fails_its_test(run: Run) -> None:
    result = run("""
        import os

        def test_it(casstore_store, casstore_image_factory):
            casstore_image_factory(files={"a": "1"}, tag="a")
            for blob in os.scandir(os.path.join(casstore_store.path, "blobs", "sha256")):
                os.unlink(blob)
    """)

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*leaves its casstore store unclean:*", "*error blob-missing *"])


def test_a_leaked_lease_fails_its_test(run: Run) -> None:
    result = run("""
        def test_it(casstore_store, casstore_image_factory):
            image = casstore_image_factory(files={"a": "1"}, tag="a")
            casstore_store.leases.hold(image.id, name="forgotten")
    """)

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*a lease is still held: *forgotten*"])


@pytest.mark.usefixtures("archives")
def test_writing_into_a_shared_blob_fails_the_test_and_spoils_no_other(run: Run) -> None:
    result = run(
        DAMAGE
        + """
    import pytest

    pytestmark = pytest.mark.casstore_image("archives/single.tar")

    def test_a_writes(casstore_store):
        damage(casstore_store)

    def test_b_reads(casstore_store):
        assert casstore_store.check(content=True).findings == ()
"""
    )

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*was written to, a file that other tests share*"])


@pytest.mark.usefixtures("archives")
def test_an_unchecked_test_may_damage_its_store_and_spoils_no_other(run: Run) -> None:
    result = run(
        DAMAGE
        + """
    import pytest

    pytestmark = pytest.mark.casstore_image("archives/single.tar")

    @pytest.mark.casstore_unchecked
    def test_a_writes(casstore_store):
        damage(casstore_store)
        assert casstore_store.check(content=True).findings

    def test_b_reads(casstore_store):
        assert casstore_store.check(content=True).findings == ()
"""
    )

    result.assert_outcomes(passed=2)


# What a test does to `blob`, the first of its store, and the lines that it is then told.
HARM = {
    "writes": ("write(blob, os.O_WRONLY)", "*was written to*"),
    "truncates": ("os.truncate(blob, 0)", "*was written to*"),
    "appends": ("write(blob, os.O_APPEND | os.O_WRONLY)", "*was written to*"),
    "writes and removes the name": (
        "write(blob, os.O_WRONLY); os.unlink(blob)", "*was written to*"
    ),
    "removes the name": ("os.unlink(blob)", "*error blob-missing *"),
    "removes its store": ("shutil.rmtree(store.path)", "*there is no store at*"),
    "writes and removes its store": (
        "write(blob, os.O_WRONLY); shutil.rmtree(store.path)", "*was written to*"
    ),
    "replaces its store": (
        "shutil.rmtree(store.path); os.makedirs(store.path + '/x')",
        "*is not a casstore store*",
    ),
    "removes rows of the index": (
        "sql(store, 'DELETE FROM edge')", "*error edge-missing *"
    ),
    "writes to the index": ("in_place(store, 'casstore.db', 0)", "*error db-bad casstore.db: *"),
    "writes to the published index": (
        "in_place(store, 'index.json', 120)", "*error index-bad index.json: *"
    ),
    "writes to the published index, after a change": (
        "store.tag('shop/single:1.0', 'new:1'); in_place(store, 'index.json', 120)",
        "*error index-bad index.json: *",
    ),
    "writes to the marker": ("in_place(store, 'oci-layout', 24)", "*is not an OCI image layout*"),
    "leaves a lease": (
        "store.leases.add('forgotten', 'shop/single:1.0')", "*a lease is still held: soft lease *"
    ),
    "leaves a lease to another process": (
        "hold(store, 'shop/single:1.0')", "*a lease is still held: hard lease *"
    ),
}  # fmt: skip
HARMFUL = """
    import os, pytest, shutil, sqlite3, subprocess, sys
    from contextlib import closing

    pytestmark = pytest.mark.casstore_image("archives/single.tar")

    def write(blob, how):
        descriptor = os.open(blob, how)
        os.write(descriptor, b"!")
        os.close(descriptor)

    def in_place(store, name, at):  # and give it its times back
        path = os.path.join(store.path, name)
        status = os.stat(path)
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(b"!!")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def sql(store, statement):
        with closing(sqlite3.connect(os.path.join(store.path, "casstore.db"))) as connection:
            connection.execute(statement)
            connection.commit()

    @pytest.fixture
    def children():
        started = []
        yield started
        for child in started:
            child.communicate("")

    @pytest.fixture
    def hold(children):
        def hold(store, image):
            program = (
                "import sys, casstore\\n"
                "with casstore.Store(sys.argv[1]).leases.hold(sys.argv[2]):\\n"
                "    print('held', flush=True)\\n"
                "    sys.stdin.read()"
            )
            words = [sys.executable, "-c", program, store.path, image]
            child = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            children.append(child)
            assert child.stdout.readline() == "held\\n"
        return hold

    def test_a_harms(hold, casstore_store, tmp_path_factory):
        store = casstore_store
        blobs = os.path.join(store.path, "blobs", "sha256")
        blob = os.path.join(blobs, sorted(os.listdir(blobs))[0])
        cache = tmp_path_factory.getbasetemp() / "casstore-cache"
        os.chmod(blob, 0o644)
        {harm}

    def test_b_reads(casstore_store):
        assert casstore_store.check(content=True).findings == ()
        blobs = os.scandir(os.path.join(casstore_store.path, "blobs", "sha256"))
        assert {{blob.stat().st_mode & 0o777 for blob in blobs}} == {{0o444}}
"""


@pytest.mark.usefixtures("archives")
@pytest.mark.parametrize("harm", HARM)
def test_a_test_that_harms_its_store_is_told_so_and_spoils_no_other(run: Run, harm: str) -> None:
    does, told = HARM[harm]
    result = run(HARMFUL.format(harm=does))

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines([told, "*ERROR*test_a_harms*"])


@pytest.mark.usefixtures("archives")
@pytest.mark.parametrize(
    "harm",
    [
        "os.chmod(blob, 0)",
        "os.replace(shutil.copy(blob, blob + '.new'), blob); os.chmod(blob, 0o444)",
        "shutil.rmtree(cache)",
        "[shutil.rmtree(entry) for entry in cache.iterdir() if entry.is_dir()]",
        "[(entry / 'listing.json').write_text('') for entry in cache.iterdir() if entry.is_dir()]",
        "shutil.rmtree(next(cache.glob('*/store')))",
        "[index.write_bytes(b'') for index in cache.glob('*/store/casstore.db')]",
        "[index.unlink() for index in cache.glob('*/store/index.json')]",
    ],
)
def test_a_test_that_harms_the_cache_spoils_no_other(run: Run, harm: str) -> None:
    run(HARMFUL.format(harm=harm)).assert_outcomes(passed=2)


@pytest.mark.usefixtures("archives")
def test_what_a_thread_writes_after_its_test_spoils_no_other(run: Run) -> None:
    result = run("""
        import os, pytest, threading

        pytestmark = pytest.mark.casstore_image("archives/single.tar")
        is_over = threading.Event()

        @pytest.fixture
        def harmed(request):
            yield
            request.module.is_over.set()  # after the store was looked at
            request.module.thread.join()

        def test_a_harms(harmed, casstore_store):
            global thread
            blobs = os.path.join(casstore_store.path, "blobs", "sha256")
            blob = os.path.join(blobs, sorted(os.listdir(blobs))[0])

            def harm():
                is_over.wait()
                os.chmod(blob, 0o644)  # the look gave it its rights back
                os.truncate(blob, 0)

            thread = threading.Thread(target=harm)
            thread.start()

        def test_b_reads(casstore_store):
            assert casstore_store.check(content=True).findings == ()
    """)

    result.assert_outcomes(passed=2)
