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
            casstore_store.lease(image.id, name="forgotten")
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
