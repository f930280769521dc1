"""rmi, and a turn of prune: each argument is planned on what the last one left, in one change."""

from __future__ import annotations

from casstore.clock import current_time, end_of
from casstore.errors import CasstoreError, Conflict, NotFound, quote
from casstore.model.keys import SETTING, TRASH_KEEP
from casstore.model.removal import Outcome, RemovalResult
from casstore.rules.removal import plan_removal, without_freeing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Sequence

    from casstore.change.commit import Change
    from casstore.change.rehearsal import Rehearsal
    from casstore.model.digest import Digest
    from casstore.model.removal import RemovalPlan, Removed
    from casstore.ports.edits import Bin
    from casstore.ports.view import View
    from casstore.rules.filters import Filters
    from casstore.rules.retention import Candidate

_NO_TIME = -(1 << 63)
_MANY = 10  # removals, from which on it pays to look what the store has at all


def remove_images(
    change: Change | Rehearsal,
    images: Sequence[str],
    *,
    force: bool,
    prune: bool,
    glob: bool,
    verbose: bool,
    keep: int | None,
) -> RemovalResult:
    """Remove what the arguments name; see `Store.remove`. `keep` is in ns."""
    view = change.index
    bin_ = _Bin(change, keep)
    outcomes: list[Outcome] = []
    freed = 0
    if glob or len(images) >= _MANY:
        view.expect_many()
    for argument in images:
        try:
            fitting = _fitting(view, argument) if glob else [argument]
        except CasstoreError as error:
            outcomes.append(Outcome(argument, (), error, ()))
            continue
        for one in fitting:
            try:
                plan = plan_removal(view, one, force=force, prune=prune)
            except CasstoreError as error:
                outcomes.append(Outcome(one, (), error, ()))
                continue
            plan, entry = bin_.carry_out(plan)
            freed += plan.freed
            kept = tuple(_why_kept(view, layer) for _, layer in plan.kept) if verbose else ()
            outcomes.append(Outcome(one, plan.lines, None, kept, entry))
    change.commit()
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    # dockerd's client forgives with -f what is not there, and nothing else
    forgiven = force and all(isinstance(error, NotFound) for error in errors)
    exit_code = 1 if errors and not forgiven else 0
    return RemovalResult(tuple(outcomes), freed, exit_code, tuple(change.warnings))


class _Bin:
    """Where removals go: nowhere, or for a time into the trash."""

    def __init__(self, change: Change | Rehearsal, keep: int | None) -> None:
        """`keep` in ns, None for what the store's setting says; expired entries go first."""
        self._index = change.index
        if keep is None and change.index.meta(SETTING + TRASH_KEEP) is not None:
            from casstore.rules.settings import keep_in_force

            keep = keep_in_force(change.index.meta)
        self._trash: Bin | None = None
        if keep:
            now = change.now
            self._trash = change.index.bin(removed=now, expires=end_of(now, keep))
        change.index.drop_expired_trash(change.now)

    def carry_out(self, plan: RemovalPlan) -> tuple[RemovalPlan, int | None]:
        """Apply a plan, keeping what it removes if that is wished.

        Returns:
            The plan as carried out, and the entry of the trash, if there is one.
        """
        entry = None
        if self._trash is not None:
            plan = without_freeing(plan)
            entry = self._trash.keep(plan)
        self._index.apply(plan)
        return plan, entry


def remove_manifest(
    change: Change, repository: str, manifest: Digest, is_there: Callable[[], bool]
) -> None:
    """Remove all names that a manifest has in a repository, by the rules of rmi; all or none.

    One without a name there, a signature of what has one, goes itself.

    Args:
        change: the change, which is committed.
        repository: in full.
        manifest: a manifest or an index.
        is_there: whether it can be had from the repository, as the change has left it by then.

    Raises:
        NotFound: it is not there.
        Conflict: it is in use, or an index of the repository has it.
    """
    from casstore.rules.removal import plan_unnamed

    view = change.index
    if not is_there():
        raise NotFound(f"manifest {manifest} is not in the repository")
    bin_ = _Bin(change, None)
    holders = view.holders_of(manifest)
    names = [
        one.name
        for image in holders
        for one in view.references_of(image)
        if one.manifest == manifest and one.name.repository == repository
    ]
    for name in names:
        if view.top_named(name) is not None:  # it may have gone with the one before
            bin_.carry_out(plan_removal(view, name))
    for image in () if names else holders:
        if len(view.naming_of(image)):
            bin_.carry_out(plan_unnamed(view, image, manifest))
        else:
            bin_.carry_out(plan_removal(view, image.hex))
    if is_there():
        raise Conflict(f"manifest {manifest.short} is part of an index", forceable=False)
    change.commit()


def remove_candidates(
    change: Change | Rehearsal,
    candidates: deque[Candidate],
    *,
    keep: int | None,
    is_over: Callable[[], bool],
) -> tuple[list[Removed], int]:
    """Remove what prune has chosen, and commit; see `Store.prune`.

    Args:
        change: the change, with the lock held, or what stands for it in a dry run.
        candidates: loses those that it has come to.
        keep: how long removed images stay in the trash, in ns; None for the store's setting.
        is_over: asked after each candidate; the rest is left then.

    Returns:
        What went, and the bytes on disk that it freed. Left out is what is in use, and what is not
        any more what was chosen.
    """
    from casstore.rules.retention import is_unchanged

    index = change.index
    bin_ = _Bin(change, keep)
    removed: list[Removed] = []
    freed = 0
    index.expect_many()
    while candidates:
        candidate = candidates.popleft()
        arguments = candidate.arguments if is_unchanged(index, candidate) else ()
        for argument in arguments:
            try:
                plan = plan_removal(index, argument)
            except (Conflict, NotFound):
                continue
            plan, _ = bin_.carry_out(plan)
            removed += plan.lines
            freed += plan.freed
        if is_over():
            break
    change.commit()
    return removed, freed


def parsed_filters(
    view: View,
    filters: Sequence[str],
    *,
    patterns: Sequence[str] = (),
    numeric: bool = False,
) -> Filters:
    """Filters as given, with the images of `before=` and `since=` looked up."""
    from casstore.rules.filters import parse_filters
    from casstore.rules.resolve import resolve

    def created_of(image: str) -> int:
        created = view.facts_of(resolve(view, image).image).created
        return created if created is not None else _NO_TIME

    return parse_filters(
        filters,
        patterns=patterns,
        now=current_time(),
        created_of=created_of,
        numeric_booleans=numeric,
    )


def _fitting(view: View, argument: str) -> list[str]:
    """The references that a pattern fits, in attach order; a plain argument stands for itself."""
    from casstore.rules.filters import check_pattern, fits

    if not any(c in argument for c in "*?["):
        return [argument]
    check_pattern(argument)
    fitting = [name.familiar for name in view.all_names() if fits(argument, name)]
    if not fitting:
        raise NotFound(f"No image fits the pattern {quote(argument)}")
    return fitting


def _why_kept(view: View, layer: Digest) -> str:
    names = []
    for image in view.images_needing(layer):
        familiar = [one.name.familiar for one in view.references_of(image)]
        names.append(familiar[0] if familiar else image.short)
    return f"{layer.hex} is still needed by {', '.join(names) or 'what is in the trash'}"
