"""Signatures and who is trusted: key files, cosign's signatures, trust policies.

The cryptography is that of the package `cryptography`, which nothing else of casstore needs.
"""

from __future__ import annotations

from importlib.util import find_spec

from casstore.errors import Unsupported

if find_spec("cryptography") is None:
    raise Unsupported(
        "signatures and encryption need the Python package cryptography, which is not installed"
    )
