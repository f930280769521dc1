"""ls, cat and diff: what they print, and how they end."""

from __future__ import annotations

import base64
import json

import pytest

from tests.cli.fakes import Result
from tests.look.looking import LAYERS, NAME, PASSWD, Command, command_on, store_with
from tests.look.randomimages import Member


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    return command_on(store_with((NAME, LAYERS)), capfdbinary)


def lines(result: Result) -> list[str]:
    assert result.status == 0, result.err
    return result.out.splitlines()


# ls


def test_an_image_shows_the_names_in_its_root(run: Command) -> None:
    assert lines(run("ls", NAME)) == ["bin", "dev", "etc", "out", "usr"]


def test_a_directory_shows_the_names_in_it_in_one_line_each(run: Command) -> None:
    assert lines(run("ls", f"{NAME}:/etc")) == [r"name\n\xff\\", "passwd"]


def test_a_file_shows_its_path(run: Command) -> None:
    assert lines(run("ls", f"{NAME}:/etc/passwd")) == ["/etc/passwd"]


def test_a_link_to_a_directory_shows_what_is_in_that(run: Command) -> None:
    assert lines(run("ls", f"{NAME}:/bin")) == ["ash", "sh"]


def test_recursively_all_paths_below_are_shown(run: Command) -> None:
    assert lines(run("ls", "-R", f"{NAME}:/usr")) == [
        "/usr/bin", "/usr/bin/ash", "/usr/bin/sh",
    ]  # fmt: skip


def test_the_long_form_is_that_of_ls(run: Command) -> None:
    assert lines(run("ls", "-lR", NAME))[:3] == [
        "lrwxrwxrwx     0     0          0 2020-09-13 12:26 /bin -> usr/bin",
        "drwxr-xr-x     0     0          0 2020-09-13 12:26 /dev",
        "crw-rw-rw-     0     0        1,3 2020-09-13 12:26 /dev/null",
    ]
    assert lines(run("ls", "-l", f"{NAME}:/bin"))[0].endswith("/bin -> usr/bin")


def test_a_layer_is_shown_by_itself_with_its_markers(run: Command) -> None:
    assert lines(run("ls", "-l", "--layer", "2", f"{NAME}:/etc"))[-2:] == [
        "w---------     0     0          0 1970-01-01 00:00 /etc/old",
        "-rw-------     7     0         47 2020-09-13 12:26 /etc/passwd",
    ]


def test_json_has_an_object_a_line_from_which_every_name_can_be_read_back(run: Command) -> None:
    found = [json.loads(line) for line in lines(run("ls", "--format", "json", f"{NAME}:/etc"))]

    odd, passwd = found
    assert odd["Path"] == "/etc/name\n�\\"
    assert base64.b64decode(odd["RawPath"]) == b"/etc/name\n\xff\\"
    assert "RawPath" not in passwd
    assert (passwd["Type"], passwd["Mode"], passwd["UID"]) == ("file", "0600", 7)


def test_a_template_has_the_fields_of_a_file(run: Command) -> None:
    printed = lines(run("ls", "--format", "{{.Path}} {{.Size}}", f"{NAME}:/usr/bin/sh"))

    assert printed == ["/usr/bin/sh 10"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("ls", "gone"), "Error: No such image: gone:latest"),
        (("ls", f"{NAME}:/gone"), "Error: No such file in the image: /gone"),
        (("ls", "--layer", "3", NAME), "Error: the image has only 2 layers"),
        (("cat", f"{NAME}:/etc"), "Error: /etc is a directory, not a regular file"),
        (("diff", NAME, "gone"), "Error: No such image: gone:latest"),
        (("ls", "--platform", "linux/s390x", NAME), "Error: the image is not there for the"),
    ],
)
def test_what_is_not_there_is_one_line_and_status_1(
    run: Command, words: tuple[str, ...], error: str
) -> None:
    result = run(*words)

    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(error)
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    "words", [("ls",), ("ls", "--layer", "0", NAME), ("cat", NAME), ("diff", NAME)]
)
def test_wrong_usage_is_status_2(run: Command, words: tuple[str, ...]) -> None:
    assert run(*words).status == 2


# cat


def test_files_are_printed_as_they_are_one_after_the_other(run: Command) -> None:
    result = run("cat", f"{NAME}:/bin/sh", f"{NAME}:/out")

    assert result.status == 0
    assert result.out.startswith("\x7fELF shell" + PASSWD.decode())


def test_a_path_is_the_bytes_that_were_typed(run: Command) -> None:
    assert run("cat", f"{NAME}:/etc/name\n\udcff\\").out == "odd"


# diff


def test_differences_are_told_as_docker_diff_has_them(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    second = [*LAYERS[:1], [Member(b"etc/passwd", content=b""), Member(b"new"), Member(b"bin")]]
    run = command_on(store_with((NAME, LAYERS), ("look:2", second)), capfdbinary)

    assert lines(run("diff", NAME, "look:2")) == [
        "C /bin (symlink -> file)",
        r"D /etc/name\n\xff\\",
        "A /etc/old",
        "C /etc/passwd (mode 0600 -> 0644, owner 7:0 -> 0:0, size 47 -> 0, content)",
        "A /new",
    ]
    assert run("diff", "--exit-code", NAME, "look:2").status == 3
    assert run("diff", "--exit-code", NAME, NAME) == Result(0, "", "")
    found = [json.loads(line) for line in lines(run("diff", "--format", "json", NAME, "look:2"))]
    assert [one["Change"] for one in found] == ["changed", "removed", "added", "changed", "added"]
    assert found[0]["Before"]["Target"] == "usr/bin"
    assert found[2]["Before"] is None
