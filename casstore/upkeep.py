"""Keeping a store in order, as methods of `Store`: collecting garbage, checking, cloning."""

from __future__ import annotations

import os

from casstore.disk.local import current_time
from casstore.errors import Damaged
from casstore.opening import OpenStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from casstore.collecting.running import Stop
    from casstore.model.arguments import Several, StrPath
    from casstore.results.upkeep import CheckResult, CollectionResult, GcResult, StoreFigures
    from casstore.rules.collection import CollectionPlan
    from casstore.rules.policy import Rule


class Upkeep(OpenStore):
    """The part of `Store` that looks after what is there."""

    def gc(self, *, dry_run: bool = False, empty_trash: bool = False) -> GcResult:
        """Finish what crashes left, remove blobs that nothing needs and staging nobody holds.

        Args:
            dry_run: change nothing, return what would happen.
            empty_trash: remove all of the trash, not only what has expired.
        """
        from casstore.care.garbage import collect_garbage

        return collect_garbage(
            self.disk,
            self._view,
            self._rehearse if dry_run else self._change_that_frees,
            dry_run=dry_run,
            empty_trash=empty_trash,
            progress=self.progress,
        )

    def collect(
        self,
        policy: Mapping[str, object] | Several[Rule] | os.PathLike[str],
        *,
        dry_run: bool = False,
        plan: CollectionPlan | None = None,
        empty_trash: bool = False,
        stop: Stop | None = None,
    ) -> CollectionResult:
        """Remove the images that a policy chooses (`gc` with a policy), in short turns.

        Args:
            policy: settings as in a policy file: `{"max-used-space": "50GB", "keep": 5}`; or the
                path of a policy file, as a `pathlib.Path`.
            dry_run: change nothing, return what would happen.
            plan: carry out this plan of an earlier result, exactly.
            empty_trash: empty it first; what a policy removes does not go there.
            stop: lets a signal handler end the run.

        Raises:
            UsageError: the policy has mistakes.
            PlanOutdated: the store is not any more what `plan` was made for; nothing is changed.
        """
        from casstore.collecting.policyfile import policy_rules
        from casstore.collecting.running import Access, Stop, collect

        rules = policy_rules(policy, now=current_time())
        turn = self._rehearse if dry_run else self._change_that_frees
        access = Access(self.disk, self._view, turn)
        return collect(
            access,
            rules,
            dry_run=dry_run,
            saved=plan,
            empty_trash=empty_trash,
            stop=stop or Stop(),
            progress=self.progress,
        )

    def figures(self) -> StoreFigures:
        """The store in a few numbers: bytes, blobs, images, references, the file system."""
        from casstore.collecting.facts import figures, read_facts

        snapshot, _ = read_facts(self.disk, self._view(), {})
        return figures(self.disk, snapshot)

    def check(
        self,
        *,
        repair: bool = False,
        repair_from: Several[StrPath] = (),
        rebuild: bool = False,
        content: bool = True,
    ) -> CheckResult:
        """Verify the store (fsck).

        Args:
            repair: mend what can be mended; the last copy of anything is never removed.
            repair_from: archives, layout directories and stores to take good bytes from.
            rebuild: make the database anew from index.json and the blobs first.
            content: read every blob and compare its digest; False looks at sizes only.
        """
        from casstore.care.fsck import check_store
        from casstore.model.arguments import PATHS, path_of, several

        sources = [path_of(source) for source in several(repair_from, "repair_from", PATHS)]
        repaired: list[str] = []
        if repair and self.disk.exists():
            from casstore.care.ownfiles import give_rights_back

            repaired += give_rights_back(self.disk)
        self.disk.require()
        if repair and not rebuild:
            from casstore.care.soundness import is_damaged

            # To correct a damaged table by another one would do more damage.
            rebuild = is_damaged(self.disk)
        if rebuild:
            lines, verified = self._rebuild()
            repaired += lines
            content = content and not verified  # once is enough
        if sources:
            from casstore.care.mending import mend_from

            mended, doubts = mend_from(self.disk, self._change, sources, content=content)
            repaired += mended
            self.notices += doubts
        if repair:
            from casstore.care.repair import repair_store

            with self._change() as change:
                lines, anew = repair_store(self.disk, change, content=content)
            repaired += lines
            if anew:
                repaired += self._rebuild()[0]
            from casstore.care.recount import recount, told

            repaired += told(recount(self.disk.blobs, self._view, self._change_that_frees))
        return check_store(self.disk, repaired, content=content, progress=self.progress)

    def clone(self, path: StrPath) -> None:
        """Make a store at `path` with the same content, blobs shared by hard link where possible.

        Raises:
            NotAStore: `path` is there and not empty.
        """
        from casstore.care.cloning import clone_store
        from casstore.model.arguments import path_of

        target = path_of(path)
        with self._change() as change:
            clone_store(self.disk, change, target)

    def _opens(self) -> bool:
        """Whether there is a database that can be used as it is; a log beside it stays."""
        try:
            self.disk.connect_as_is().close()
        except Damaged:
            return False
        return True

    def _rebuild(self) -> tuple[list[str], bool]:
        """Make the database anew: what is to be told, and whether all content was verified."""
        from casstore.care.rebuild import rebuild_database

        lines = []
        from casstore.care.soundness import is_damaged

        said = os.path.lexists(self.disk.layout.path) and not self.disk.layout.is_withdrawn()
        if not said and self._opens() and not is_damaged(self.disk):
            # What index.json does not say, a database that is sound can still say.
            with self._change() as change:
                change.commit()
                change.publish()
        with self._locked():
            self._let_go()
            if not os.path.lexists(self.disk.layout.path) and not os.path.exists(
                self.disk.database
            ):
                from casstore.care.salvage import write_salvaged_index
                from casstore.disk.making import make_directories

                make_directories(self.disk)
                lines.append(write_salvaged_index(self.disk))
            # What is lost anyway is worth going on without what cannot be read; a database that
            # can be used is not.
            problems, verified = rebuild_database(self.disk, leave_out=not self._opens())
        with self._change() as change:
            change.commit()
        lines.append("the database was rebuilt from index.json and the blobs")
        return lines + problems, verified
