"""What a shell may offer for an IMAGE: names, found by their first letters.

Names are stored in full and typed in familiar form, so what was typed may be the beginning of
three full names. Each is looked up as a range of the index of names: the time does not depend on
how many names there are, and somebody waits for it at a prompt.
"""

from __future__ import annotations

from casstore.model.reference import DEFAULT_DOMAIN, OFFICIAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.ports.view import View

_BEYOND = "\x7f"  # after every character of a name


def names_starting(view: View, prefix: str, most: int) -> list[str]:
    """Familiar names that start with `prefix`; digest references only once `@` is typed."""
    found: set[str] = set()
    for above in (f"{DEFAULT_DOMAIN}/{OFFICIAL}", f"{DEFAULT_DOMAIN}/", ""):
        low = above + prefix
        found.update(one.familiar for one in view.names_between(low, low + _BEYOND, most))
    fitting = (name for name in found if name.startswith(prefix))
    return sorted(name for name in fitting if "@" not in name or "@" in prefix)[:most]
