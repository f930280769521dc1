"""What a check of a store says."""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


# Codes of what is found of layers that came in by their digests alone.
UNSETTLED = "layer-unsettled"  # nobody has read it
MISMATCH = "diffid-mismatch"  # it is another tar than the config says
BROKEN_LAYER = "layer-broken"  # it does not decompress to its end


OF_LAYERS = frozenset((MISMATCH, BROKEN_LAYER))  # what can be wrong within layers
ERROR, WARN, NOTE = "error", "warn", "note"


class Finding(Value):
    """One thing that a check saw."""

    level: str  # "error", "warn" or "note"
    code: str
    object: str
    text: str


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Findings as they are told."""
    return sorted(findings, key=lambda one: (one.level, one.code, one.object))


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
