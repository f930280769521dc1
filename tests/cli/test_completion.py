"""The completions of bash, zsh and fish, as these shells run them."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from shlex import quote

import pytest

from casstore import Store
from tests.transfer.building import docker_archive, layer

ROOT = Path(__file__).parents[2]


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


PROGRAM = """\
#!/bin/sh
case "$*" in
  *"lease ls -q") echo release ;;
  "--store /s __complete images"*) echo elsewhere:1 ;;
  "__complete images"*) printf 'app:1\\napp:2\\nhost:5000/x:latest\\n' ;;
esac
"""


def completed(tmp_path: Path, line: str) -> list[str]:
    program = tmp_path / "casstore"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    script = (
        f". {quote(str(ROOT))}/completions/casstore.bash; "
        "COMP_LINE=$1; COMP_POINT=${#1}; _casstore; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script, "bash", line],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    return sorted(done.stdout.split())


@needs("bash")
@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("casstore rm", ["rmi"]),
        ("casstore rmi --no", ["--no-prune"]),
        ("casstore image rm --no", ["--no-prune"]),
        ("casstore rmi ap", ["app:1", "app:2"]),
        ("casstore rmi app:", ["1", "2"]),
        ("casstore rmi app:1 host:5000/", ["5000/x:latest"]),
        ("casstore rmi host:5000/x:", ["latest"]),
        ("casstore --store /s rmi ", ["elsewhere:1"]),
        ("casstore save --format oci", ["oci", "oci-dir"]),
        ("casstore save --format d", ["dir", "docker"]),
        ("casstore save --format oci -o x a", ["app:1", "app:2"]),
        ("casstore lease r", ["rm", "run"]),
        ("casstore lease rm ", ["release"]),
        ("casstore load -i cass", ["casstore"]),
        ("casstore lease run app:1 -- cass", ["casstore"]),
        ("casstore image pr", ["prune"]),
        ("casstore images --format ", []),
    ],
)
def test_bash_completes(tmp_path: Path, line: str, offers: list[str]) -> None:
    assert completed(tmp_path, line) == offers


# The shells themselves, with the program itself and a store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, and a program `casstore` that is this one."""
    folder = tmp_path_factory.mktemp("shells")
    program = folder / "casstore"
    casstore = f"PYTHONPATH={quote(str(ROOT))} exec {quote(sys.executable)} -m casstore"
    program.write_text(f'#!/bin/sh\n{casstore} "$@"\n')
    program.chmod(0o755)
    for name, names in (
        ("store", ["shop/app:1", "shop/app:2", "other:1"]),
        ("else", ["elsewhere:1"]),
    ):
        with Store(folder / name) as store:
            store.load(io.BytesIO(docker_archive({"layers": [layer("x")], "tags": names})))
    return folder


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "CASSTORE_STORE": str(folder / "store"),
        "HOME": str(folder),
        "TERM": "dumb",
    }


ASKED = [
    ("casstore rmi shop/", ["shop/app:1", "shop/app:2"]),
    ("casstore rmi oth", ["other:1"]),
    ("casstore --store {else} rmi e", ["elsewhere:1"]),
    ("casstore wh", ["why"]),
    ("casstore load --progr", ["--progress"]),
    ("casstore load --progress=js", ["--progress=json"]),
]


@needs("fish")
@pytest.mark.parametrize(("line", "offers"), ASKED)
def test_fish_completes(folder: Path, line: str, offers: list[str]) -> None:
    script = 'source $argv[1]; complete -C "$argv[2]"'
    done = subprocess.run(
        [
            *("fish", "--no-config", "-c", script),
            *(f"{ROOT}/completions/casstore.fish", line.format_map({"else": folder / "else"})),
        ],
        capture_output=True, text=True, check=True, cwd=folder, env=environment(folder),
    )  # fmt: skip
    found = [text.partition("\t")[0] for text in done.stdout.splitlines()]

    assert sorted(found) == offers


# In zsh completions exist only while a line is edited: a key ends the line with what was offered.
ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
script='PROMPT=; fpath=("{root}/completions" $fpath); autoload -Uz compinit; compinit -u -D
zstyle ":completion:*" list-separator ""
compadd () {{
    if [[ "$*" == *(-O|-A|-D)\ * ]] {{ builtin compadd "$@"; return }}
    local -a hits; builtin compadd -O hits "$@"
    for hit in $hits; print -r -- "OFFER:$IPREFIX$hit:END"
}}
bindkey "^I" complete-word
echo READY'
zpty -w shell "$script"
zpty -r shell text '*READY*READY*'
zpty -w -n shell "$1"$'\t'
zpty -w -n shell $'\C-U'"echo DO''NE"$'\n'
zpty -r shell text '*DONE*'
print -r -- $text
"""


@needs("zsh")
@pytest.mark.parametrize(("line", "offers"), ASKED)
def test_zsh_completes(folder: Path, line: str, offers: list[str]) -> None:
    typed = line.format_map({"else": folder / "else"})
    done = subprocess.run(
        ["zsh", "-f", "-c", ZSH.format(root=ROOT), "zsh", typed],
        capture_output=True, text=True, check=True, cwd=folder, env=environment(folder),
        timeout=120,
    )  # fmt: skip
    found = re.findall(r"OFFER:(.*?):END", done.stdout)

    assert sorted(set(found)) == offers
