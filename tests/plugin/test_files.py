"""What the plugin offers to look into images: an unpacked tree, and an assertion about a file."""

from __future__ import annotations

from tests.plugin.conftest import Run

IMAGE = """
        import pytest

        @pytest.fixture
        def image(casstore_image_factory):
            return casstore_image_factory(
                files={"etc/motd": "one\\ntwo\\n", "bin/tool": b"\\xff\\0", "empty/": b""},
                tag="app",
            )
"""


def test_a_root_file_system_is_a_directory_of_the_tests_own(run: Run) -> None:
    result = run(
        IMAGE
        + """
        def test_it(casstore_rootfs, image):
            root = casstore_rootfs("app")
            assert (root / "etc" / "motd").read_text() == "one\\ntwo\\n"
            (root / "etc" / "motd").write_text("changed")
            other = casstore_rootfs(image)
            assert other != root
            assert (other / "etc" / "motd").read_text() == "one\\ntwo\\n"
    """
    )

    result.assert_outcomes(passed=1)


def test_a_file_that_is_as_it_should_be_passes(run: Run) -> None:
    result = run(
        IMAGE
        + """
        def test_it(casstore_assert_file, image):
            casstore_assert_file(image, "/etc/motd", "one\\ntwo\\n")
            casstore_assert_file("app", "/bin/tool", b"\\xff\\0", size=2)
            casstore_assert_file("app", "/empty", kind="directory")
    """
    )

    result.assert_outcomes(passed=1)


def test_another_content_is_told_line_by_line(run: Run) -> None:
    result = run(
        IMAGE
        + """
        def test_it(casstore_assert_file, image):
            casstore_assert_file("app", "/etc/motd", "one\\nthree\\n", uid=7)
    """
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*image app, /etc/motd:", "*uid is 0, not 7", "*content differs:", "*-three", "*+two"]
    )


def test_bytes_that_are_no_text_are_told_too(run: Run) -> None:
    result = run(
        IMAGE
        + """
        def test_it(casstore_assert_file, image):
            casstore_assert_file("app", "/bin/tool", b"\\xfe")
    """
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*expected 1 bytes*", "*found    2 bytes*"])


def test_a_file_that_is_not_there_is_told_with_what_is_beside(run: Run) -> None:
    result = run(
        IMAGE
        + """
        def test_it(casstore_assert_file, image):
            casstore_assert_file("app", "/etc/passwd")
    """
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*/etc/passwd is not there", "*/etc has:", "*/etc/motd"])


def test_a_property_that_files_do_not_have_is_an_error_of_the_test(run: Run) -> None:
    result = run(
        IMAGE
        + """
        def test_it(casstore_assert_file, image):
            casstore_assert_file("app", "/etc/motd", colour="red")
    """
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*TypeError: a file of an image has no 'colour'"])
