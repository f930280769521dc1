"""What a check comes to: clean, wrong, or not known."""

from __future__ import annotations

import pytest

from casstore.model.findings import CheckResult, Finding


def result(*findings: tuple[str, str]) -> CheckResult:
    return CheckResult(tuple(Finding(level, code, "x", "") for level, code in findings), 0, 0)


@pytest.mark.parametrize(
    ("findings", "clean", "damaged"),
    [
        ((), True, False),
        ((("note", "foreign-file"),), True, False),
        ((("note", "foreign-file"), ("warn", "index-foreign")), False, True),
        ((("error", "blob-missing"),), False, True),
        ((("error", "blob-unreadable"),), False, False),
        ((("error", "blob-unreadable"), ("warn", "index-foreign")), False, True),
        ((("note", "blob-unreadable"),), True, False),
    ],
)
def test_a_store_is_clean_with_notes_alone_and_not_damaged_by_what_cannot_be_read(
    findings: tuple[tuple[str, str], ...], *, clean: bool, damaged: bool
) -> None:
    checked = result(*findings)

    assert (checked.clean, checked.damaged) == (clean, damaged)
