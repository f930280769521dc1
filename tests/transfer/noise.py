"""Bytes that do not compress, always the same ones."""

from __future__ import annotations

import random


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311 - nothing here is a secret
