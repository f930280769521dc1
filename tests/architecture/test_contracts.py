"""Every port has a suite in tests/contract/, and says what its methods promise."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.sources import ROOT, Module, modules

CONTRACT = ROOT / "tests" / "contract"
PORTS = [
    module for module in modules() if module.room == "ports" and module.path[6:] != "__init__.py"
]
BACKENDS = [module for module in modules() if module.path.startswith("backends/")]


@pytest.mark.parametrize("port", PORTS, ids=lambda port: port.path)
def test_every_port_has_a_suite(port: Module) -> None:
    name = port.path.removeprefix("ports/").removesuffix(".py")

    assert (CONTRACT / f"test_{name}.py").is_file()


@pytest.mark.parametrize("port", PORTS, ids=lambda port: port.path)
def test_a_port_is_protocols_whose_methods_say_what_they_promise(port: Module) -> None:
    kinds = [node for node in port.tree.body if isinstance(node, ast.ClassDef)]
    silent = [
        f"{kind.name}.{method.name}"
        for kind in kinds
        for method in kind.body
        if isinstance(method, ast.FunctionDef)
        and not ast.get_docstring(method)
        and method.name not in {"__enter__", "__exit__", "write"}  # as Python's own
    ]

    assert [kind.name for kind in kinds if ast.unparse(kind.bases[-1]) != "Protocol"] == []
    assert silent == []
