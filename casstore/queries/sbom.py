"""The one SBOM of an image, among all that is said of it in the store."""

from __future__ import annotations

from casstore.errors import NotFound, Refused, quote
from casstore.model.attestationtypes import WORDS, is_of_type, is_sbom
from casstore.queries.attestations import read_in, scope_of
from casstore.queries.platforms import choose_platform, platforms_of
from casstore.rules.resolve import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.platform import Platform
    from casstore.ports.blobs import Blobs
    from casstore.ports.view import View
    from casstore.queries.attestations import Scope
    from casstore.results.trust import Attestation
    from casstore.trust.keys import PublicKey

_MOST_REASONS = 3  # in one line


def find_sbom(
    view: View,
    blobs: Blobs,
    argument: str,
    *,
    platform: Platform | None,
    here: Platform,
    kind: str = "",
    digest: str = "",
    key: PublicKey | None = None,
) -> Attestation:
    """The SBOM of an image.

    Args:
        platform: which image of an index is meant; None: the only one that is there, else that for
            `here`, this machine's platform.
        kind: `spdx`, `cyclonedx` or a predicate type, which need not be that of an SBOM.
        digest: of the document, or the beginning of it.
        key: take only what is signed by it.

    Raises:
        NotFound: there is none; no such image; it is not there for the platform.
        Refused: there are several; the message lists them.
        InvalidReference, Damaged.
    """
    with view.snapshot():
        scope = scope_of(view, blobs, argument, platform)
        if platform is None:
            scope = _narrowed(view, blobs, scope, argument, here)
        found = read_in(view, blobs, scope, key)
    digits = digest.removeprefix("sha256:")
    chosen: dict[bytes, Attestation] = {}
    reasons: list[str] = []
    for one in found:
        if one.problem:
            reasons.append(one.problem)
        elif not _is_wanted(one, kind) or not one.digest.hex.startswith(digits):
            continue
        elif not one.of_image:
            reasons.append(f"that in {one.digest} is of something else")
        elif key is not None and not one.verified:
            reasons.append(f"that in {one.digest} is not signed by this key")
        else:
            chosen.setdefault(one.statement, one)  # the same one may be there twice
    if len(chosen) == 1:
        return next(iter(chosen.values()))
    if chosen:
        listed = ", ".join(f"{quote(one.predicate_type)} {one.digest}" for one in chosen.values())
        raise Refused(f"{argument} has several: choose one by its type or digest: {listed}")
    if reasons:
        why = ": " + "; ".join(reasons[:_MOST_REASONS])
    else:
        why = (
            " in the store; pull --referrers brings what refers to the image, "
            "pull --all-platforms what is in its index"
        )
    what = "SBOM" if not kind or kind in WORDS else f"attestation of the type {quote(kind)}"
    raise NotFound(f"{argument} has no {what}{why}")


def _is_wanted(one: Attestation, kind: str) -> bool:
    return is_of_type(one.predicate_type, kind) if kind else is_sbom(one.predicate_type)


def _narrowed(view: View, blobs: Blobs, scope: Scope, argument: str, here: Platform) -> Scope:
    """Of an index with images for several platforms, not those for another than `here`."""
    image = resolve(view, argument).image
    rows = platforms_of(view, blobs, image)
    if len(rows) < 2:
        return scope
    try:
        own = choose_platform(view, blobs, image, here).manifest
    except NotFound:
        own = None
    others = {row.manifest for row in rows} - {own}
    return scope._replace(meant=scope.meant - others, is_all=False)
