"""The completion for bash, as bash runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")

PROGRAM = """\
#!/bin/sh
case "$*" in
  *"lease ls -q") echo release ;;
  "--store /s images"*) echo elsewhere:1 ;;
  images*) printf 'app:1\\napp:2\\nhost:5000/x:latest\\n<none>:<none>\\n' ;;
esac
"""


def completed(tmp_path: Path, line: str) -> list[str]:
    program = tmp_path / "casstore"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    script = (
        f". {ROOT}/completions/casstore.bash; COMP_LINE=$1; COMP_POINT=${{#1}}; _casstore; "
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
