"""What a check of a store says."""

from __future__ import annotations

from casstore.startup.value import Value


class Finding(Value):
    """One thing that a check saw."""

    level: str  # "error", "warn" or "note"
    code: str
    object: str
    text: str


class CheckResult(Value):
    """What fsck found, after the repairs if any were asked for."""

    findings: tuple[Finding, ...]
    blobs: int  # blobs read
    bytes: int  # bytes read
    repaired: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether there is nothing but notes."""
        return all(finding.level == "note" for finding in self.findings)

    @property
    def damaged(self) -> bool:
        """Whether anything is wrong; what the disk does not give just now is not known to be."""
        return any(
            finding.level != "note" and not finding.code.endswith("-unreadable")
            for finding in self.findings
        )
