"""What is in plans: of removals, and of a policy of gc; nothing here is run."""

from __future__ import annotations

from datetime import datetime
from typing import assert_type

from casstore import (
    Aim,
    CollectionPlan,
    Digest,
    Goal,
    Reference,
    RemovalPlan,
    Removed,
    Spared,
    Step,
)


def of_aim(aim: Aim) -> None:
    assert_type(aim.goal, Goal)
    assert_type(aim.reached, bool)
    assert_type(aim.rule, int)


def of_collection_plan(plan: CollectionPlan) -> None:
    assert_type(plan.aims, tuple[Aim, ...])
    assert_type(plan.freed, int)
    assert_type(plan.kept, tuple[Spared, ...])
    assert_type(plan.left, int)
    assert_type(plan.steps, tuple[Step, ...])
    assert_type(plan.stored, int)


def of_goal(goal: Goal) -> None:
    assert_type(goal.most, int)
    assert_type(goal.setting, str)
    assert_type(goal.wanted, str)


def of_spared(spared: Spared) -> None:
    assert_type(spared.code, str)
    assert_type(spared.image, Digest)
    assert_type(spared.names, tuple[Reference, ...])
    assert_type(spared.why, str)


def of_step(step: Step) -> None:
    assert_type(step.freed, int)
    assert_type(step.image, Digest)
    assert_type(step.last_used, int)
    assert_type(step.last_used_at, datetime)
    assert_type(step.names, tuple[Reference, ...])
    assert_type(step.removal, RemovalPlan)
    assert_type(step.rule, int)
    assert_type(step.why, str)


def of_removal_plan(plan: RemovalPlan) -> None:
    assert_type(plan.delete, tuple[Digest, ...])
    assert_type(plan.detach, tuple[tuple[Digest, Digest], ...])
    assert_type(plan.free, tuple[Digest, ...])
    assert_type(plan.freed, int)
    assert_type(plan.kept, tuple[tuple[Digest, Digest], ...])
    assert_type(plan.lines, tuple[Removed, ...])
    assert_type(plan.untag, tuple[Reference, ...])
