"""Plans in files: saved as they were shown, read as strictly as anything from outside.

A plan says for each image what it was planned on (names, last use) and what its removal does; the
run that carries it out refuses to do anything else.
"""

from __future__ import annotations

from casstore.clock import current_time
from casstore.errors import CasstoreError, Refused, UsageError, quote
from casstore.files import durable
from casstore.model.digest import Digest
from casstore.model.document import Fields, parse
from casstore.model.reference import Reference, parse_name
from casstore.model.removal import RemovalPlan
from casstore.rules.collection import Aim, CollectionPlan, Spared, Step
from casstore.rules.policy import BadSetting, Goal, parse_rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from casstore.rules.policy import Rule

VERSION = 1
KEY = "casstorePlan"
MAX_PLAN = 256 << 20


def save_plan(path: str, rules: Sequence[Rule], plan: CollectionPlan) -> None:
    """Write a plan, whole or not at all. Raises StorageError."""
    import json

    document = {
        KEY: VERSION,
        "made": current_time(),
        "policy": [rule.settings() for rule in rules],
        "stored": plan.stored,
        "left": plan.left,
        "steps": [_step(step) for step in plan.steps],
        "kept": [
            {"image": one.image, "names": list(one.names), "reason": one.code, "why": one.why}
            for one in plan.kept
        ],
        "goals": [
            {"rule": aim.rule, "setting": aim.goal.setting, "wanted": aim.goal.wanted,
             "most": aim.goal.most, "reached": aim.reached}
            for aim in plan.aims
        ],
    }  # fmt: skip
    text = json.dumps(document, indent=1) + "\n"
    try:
        with durable.replace_file(path, f"{path}.part") as new:
            new.file.write(text.encode())
    except OSError as error:
        raise durable.storage_error(error, f"cannot write {quote(path)}") from None


def _step(step: Step) -> dict[str, Any]:
    return {
        "image": step.image,
        "names": list(step.names),
        "rule": step.rule,
        "why": step.why,
        "lastUsed": step.last_used,
        "delete": list(step.removal.delete),
        "free": list(step.removal.free),
        "freed": step.freed,
    }


def read_plan(path: str, *, now: int) -> tuple[tuple[Rule, ...], CollectionPlan]:
    """A saved plan and the policy it was made by.

    Raises:
        UsageError: the file cannot be read.
        Refused: it is no plan of this version.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_PLAN + 1)
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise UsageError(f"plan {quote(path)}: {reason}") from None
    name = f"plan {quote(path)}"
    fields = Fields(parse(data, name, limit=MAX_PLAN), name)
    if fields.values.get(KEY) != VERSION:
        raise Refused(f"{name} is not a plan of version {VERSION}")
    try:
        rules = tuple(
            parse_rule(Fields(item, f"policy of {name}").values, now=now)
            for item in fields.items("policy")
        )
        steps = tuple(_read_step(Fields(i, f"a step of {name}")) for i in fields.items("steps"))
        kept = tuple(_read_kept(Fields(i, f"an image of {name}")) for i in fields.items("kept"))
        aims = tuple(_read_aim(Fields(i, f"a goal of {name}")) for i in fields.items("goals"))
    except BadSetting as error:
        raise Refused(f"policy of {name}: {error}") from None
    numbers = [step.rule for step in steps] + [aim.rule for aim in aims]
    if not all(1 <= number <= len(rules) for number in numbers):
        raise Refused(f"{name} does not fit its policy")
    return rules, CollectionPlan(steps, kept, aims, fields.size("stored"), fields.size("left"))


def _read_step(fields: Fields) -> Step:
    names = _names(fields)
    delete = tuple(map(Digest.parse, fields.texts("delete")))
    image = Digest.parse(fields.text("image"))
    if delete[:1] != (image,):
        raise Refused(f"{fields.name} does not delete its image")
    removal = RemovalPlan(
        untag=names,
        detach=(),
        delete=delete,
        free=tuple(map(Digest.parse, fields.texts("free"))),
        lines=(),
        freed=fields.size("freed"),
        kept=(),
    )
    used = fields.size("lastUsed")
    return Step(image, names, fields.size("rule"), fields.text("why"), used, removal)


def _read_kept(fields: Fields) -> Spared:
    image = Digest.parse(fields.text("image"))
    return Spared(image, _names(fields), fields.text("reason"), fields.text("why"))


def _read_aim(fields: Fields) -> Aim:
    most = fields.values.get("most")
    if not isinstance(most, int) or isinstance(most, bool):
        raise fields.wrong("most", "is not a number")
    goal = Goal(fields.text("setting"), fields.text("wanted"), most)
    return Aim(fields.size("rule"), goal, fields.flag("reached"))


def _names(fields: Fields) -> tuple[Reference, ...]:
    try:
        return tuple(parse_name(text).reference for text in fields.texts("names"))
    except CasstoreError as error:
        raise Refused(f"{fields.name}: {error}") from None
