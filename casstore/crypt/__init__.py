"""Layer encryption as ocicrypt has it: the cipher, and the keys wrapped for each recipient.

The cryptography is that of the package `cryptography`, which casstore.trust makes sure of.
"""

from __future__ import annotations

import casstore.trust  # noqa: F401 - says what is missing where that package is not installed
