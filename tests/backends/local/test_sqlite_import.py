"""SQLite's C module comes without functools, and works with it where it must."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.architecture.sources import ROOT

PREPARE = "import sys; sys.path.insert(0, sys.argv[1]); import _functools\n"


def _said(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PREPARE + program, ROOT],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_stand_in_for_functools_is_gone_after_the_import() -> None:
    said = _said(
        "import casstore.backends.local.schema\n"
        "print('functools' in sys.modules)\n"
        "import functools; print(functools.partial(int, '7')())"
    )

    assert said == "False\n7"


def test_statements_are_compiled_once_all_the_same(tmp_path: Path) -> None:
    said = _said(
        "whole, sizes = _functools._lru_cache_wrapper, []\n"
        "def noted(compiled, size, *rest):\n"
        "    sizes.append(size); return whole(compiled, size, *rest)\n"
        "_functools._lru_cache_wrapper = noted\n"
        "from casstore.backends.local import schema; sizes.clear()\n"
        f"schema.create('{tmp_path}/db'); sizes.clear()\n"
        f"schema.connect('{tmp_path}/db', writable=True)\n"
        "print(sizes)"
    )

    assert said == "[256]"


def test_an_interpreter_without_that_function_has_the_real_functools() -> None:
    said = _said(
        "del _functools._lru_cache_wrapper\n"
        "from casstore.backends.local import schema\n"
        "print('functools' in sys.modules, schema.memory().execute('SELECT 7').fetchall())"
    )

    assert said == "True [(7,)]"


def test_an_interpreter_that_asks_for_more_has_the_real_functools() -> None:
    said = _said(
        "whole = _functools._lru_cache_wrapper\n"
        "def refuse(*given): _functools._lru_cache_wrapper = whole; raise TypeError\n"
        "_functools._lru_cache_wrapper = refuse\n"
        "from casstore.backends.local import schema\n"
        "print('functools' in sys.modules, schema.memory().execute('SELECT 7').fetchall())"
    )

    assert said == "True [(7,)]"
