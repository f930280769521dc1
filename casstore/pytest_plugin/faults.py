"""What a test is told of the store that it leaves behind, a line for each thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casstore.errors import CasstoreError

if TYPE_CHECKING:
    from casstore.ports.template import Made
    from casstore.store import Store


def faults_of(store: Store, made: Made | None = None) -> list[str]:
    """What is wrong with a store, errors and leases; `made` knows how it was made, if it does.

    With it, only what has changed since is looked at.
    """
    if made is not None and made.is_as_made():
        return []
    faults = []
    try:
        findings = store.check(content=False).findings if made is None else made.errors()
        faults += [
            f"{finding.level} {finding.code} {finding.object}: {finding.text}"
            for finding in findings
            if finding.level == "error"
        ]
        faults += [
            f"a lease is still held: {one.kind} lease {one.name} on image {one.image.short}"
            for one in store.leases.list()
        ]
    except CasstoreError as error:  # it is gone, or no store any more
        faults.append(str(error))
    return faults
