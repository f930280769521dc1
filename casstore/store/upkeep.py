"""Upkeep: collecting garbage, checking, publishing, cloning."""

from __future__ import annotations

from casstore.clock import current_time
from casstore.model.keys import GC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from casstore.gc.stop import Stop
    from casstore.model.findings import CheckResult
    from casstore.model.parameters import Several, StrPath
    from casstore.results.upkeep import CollectionResult, GcResult, SettleResult
    from casstore.rules.collection import CollectionPlan
    from casstore.rules.policy import Rule
    from casstore.store.session import Session


SETTLING = 60.0  # seconds for which a gc reads layers that nobody has read


class Upkeep:
    """Looking after what is there."""

    def __init__(self, session: Session) -> None:
        self._session: Session = session

    def gc(self, *, dry_run: bool = False, empty_trash: bool = False) -> GcResult:
        """Finish what crashes left, remove blobs that nothing needs and staging nobody holds.

        Args:
            dry_run: change nothing, return what would happen.
            empty_trash: remove all of the trash, not only what has expired.
        """
        from casstore.gc.garbage import collect_garbage

        session = self._session
        turn = session.rehearse if dry_run else session.change_that_frees
        note = session.noting(GC)
        result = session.reported(
            lambda progress: collect_garbage(
                session.backend,
                session.view,
                turn,
                dry_run=dry_run,
                empty_trash=empty_trash,
                progress=progress,
            )
        )
        if dry_run:
            return result
        note(reclaimed=str(result.freed))
        return self._settled(result)

    def _settled(self, result: GcResult) -> GcResult:
        """The result of a gc, with what the layers are that it has read at its end."""
        found = self.settle(seconds=SETTLING)
        lines = [f"{found.settled} layers settled"] if found.settled else []
        lines += found.warnings
        if found.left:
            lines.append(f"{found.left} layers are not settled yet: the next gc goes on")
        return result._replace(
            findings=(*result.findings, *lines), settled=found.settled, damaged=found.damaged
        )

    def settle(self, *, seconds: float | None = None) -> SettleResult:
        """Read the layers that were taken in by their digests alone, and note what they are.

        gc does it for a minute, `check` to the end, and a layer is settled when it is first read.

        Args:
            seconds: begin no more layers after that; what is left is for the next time.

        Returns:
            How many are what their images say, how many are left, and a line for each that is
            damaged. A layer of more than `max_layer_size` bytes is left, with a warning.
        """
        from casstore.results.upkeep import SettleResult
        from casstore.store.settling import settled

        if next(self._session.view().unsettled_layers(), None) is None:
            return SettleResult(0, 0, (), ())
        return settled(self._session, seconds).result(self._session.view())

    def collect(
        self,
        policy: Mapping[str, object] | StrPath | Several[Rule],
        *,
        dry_run: bool = False,
        plan: CollectionPlan | None = None,
        empty_trash: bool = False,
        stop: Stop | None = None,
    ) -> CollectionResult:
        """Remove the images that a policy chooses (`gc` with a policy), in short turns.

        Args:
            policy: settings as in a policy file: `{"max-used-space": "50GB", "keep": 5}`; the path
                of a policy file; or rules, as `parse_policy` gives them.
            dry_run: change nothing, return what would happen.
            plan: carry out this plan of an earlier result, exactly.
            empty_trash: empty it first; what a policy removes does not go there.
            stop: lets a signal handler end the run, or a callback of `progress`.

        Raises:
            BadPolicy: the policy has mistakes.
            UsageError: its file cannot be read.
            PlanOutdated: the store is not any more what `plan` was made for; nothing is changed.
            Stopped: a signal handler has ended it before it removed an image.
        """
        from casstore.gc.policyfile import policy_rules
        from casstore.gc.run import Access, collect
        from casstore.gc.stop import Stop

        rules = policy_rules(policy, now=current_time())
        turn = self._session.rehearse if dry_run else self._session.change_that_frees
        access = Access(self._session.backend, self._session.view, turn)
        note = self._session.noting(GC)
        result = self._session.reported(
            lambda progress: collect(
                access,
                rules,
                dry_run=dry_run,
                saved=plan,
                empty_trash=empty_trash,
                stop=stop or Stop(),
                progress=progress,
            )
        )
        if dry_run:
            return result
        note(reclaimed=str(result.freed))
        if result.ended != "done":
            return result
        return result._replace(garbage=self._settled(result.garbage))

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
        from casstore.model.arguments import PATHS, path_of, several

        sources = [path_of(source) for source in several(repair_from, "repair_from", PATHS)]
        session, checks = self._session, self._session.backend.checks
        repaired: list[str] = []
        documents = True
        if repair and session.backend.exists():
            repaired += checks.give_rights_back()
        session.backend.require()
        if repair and not rebuild:
            # To correct a damaged table by another one would do more damage.
            rebuild = checks.is_damaged()
        if rebuild:
            lines, verified = checks.rebuild(session.change, session.locked)
            repaired += lines
            if verified:  # once is enough
                content = False
                documents = repair or bool(sources)  # either changes what was read
        if sources:
            mended, doubts = checks.mend_from(session.change, sources, content=content)
            repaired += mended
            session.notice(doubts)
        if repair:
            with session.change() as change:
                lines, anew = checks.repair(change, content=content)
            repaired += lines
            if anew:
                repaired += checks.rebuild(session.change, session.locked)[0]
            repaired += checks.recount(session.view, session.change_that_frees)
        result = session.reported(
            lambda progress: checks.check(
                repaired, content=content, documents=documents, progress=progress
            )
        )
        return self._read_out(result) if content else result

    def _read_out(self, result: CheckResult) -> CheckResult:
        """The result of a check of the blobs, and of the layers that nobody has read.

        In a store that is damaged otherwise nothing is written.
        """
        from casstore.model.findings import NOTE, OF_LAYERS, UNSETTLED, in_order

        promised = {one.object for one in result.findings if one.code == UNSETTLED}
        others = [f for f in result.findings if f.level != NOTE and f.code not in OF_LAYERS]
        if others or not promised or not self._session.backend.is_writable():
            return result
        from casstore.change.settling import promises
        from casstore.store.settling import settled

        settling = settled(self._session)
        left = {layer.digest for layer in promises(self._session.view())}
        findings = [f for f in result.findings if f.code != UNSETTLED or f.object in left]
        self._session.notice([str(error) for error in settling.errors])
        return result._replace(findings=tuple(in_order((*findings, *settling.damaged))))

    def clone(self, path: StrPath) -> None:
        """Make a store at `path` with the same content, blobs shared by hard link where possible.

        Raises:
            NotAStore: `path` is there and not empty.
        """
        from casstore.model.arguments import path_of

        target = path_of(path)
        with self._session.change() as change:
            self._session.backend.template(change.index).make(target)

    def publish(self, *, on_demand: bool | None = None) -> None:
        """Write index.json, which other OCI tools read, as the store is now.

        Args:
            on_demand: True lets changes withdraw index.json from now on instead of keeping it up to
                date, so that they cost the same in a store of any size, until `publish` is called
                again; False ends that; None leaves it as it is.
        """
        from casstore.model.keys import ALWAYS, ON_DEMAND, PUBLISH, SETTING

        with self._session.change() as change:
            if on_demand is not None:
                change.index.set_meta(SETTING + PUBLISH, ON_DEMAND if on_demand else ALWAYS)
            change.publish()  # first: where that fails, the setting is as it was
            change.commit()
