"""Platforms: how they are written, and what a machine of one runs.

Source: containerd's `platforms` package (Normalize, platformVector), which Docker 20.10 uses: a
machine also runs what its older variants run, 64-bit x86 also 386, 64-bit ARM also 32-bit ARM.
"""

from __future__ import annotations

import os

from casstore.errors import UsageError, quote
from casstore.startup.value import Value

_ARCHITECTURES = {
    "x86_64": ("amd64", ""), "x86-64": ("amd64", ""), "i386": ("386", ""), "i486": ("386", ""),
    "i586": ("386", ""), "i686": ("386", ""), "aarch64": ("arm64", ""), "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"), "armv8l": ("arm64", ""), "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"), "armv5l": ("arm", "v5"),
}  # fmt: skip
_SYSTEMS = {"macos": "darwin"}
_KNOWN_SYSTEMS = frozenset(("darwin", "freebsd", "linux", "macos", "wasip1", "windows"))
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")


class Platform(Value):
    """What an image is made to run on, in Go's words (OCI image-spec, config.md)."""

    os: str
    architecture: str
    variant: str


def parse_platform(text: str) -> Platform:
    """`os/architecture[/variant]`, or an architecture alone for Linux, as Docker reads it.

    Raises:
        UsageError: it is neither.
    """
    parts = text.lower().split("/")
    if len(parts) > 3 or not all(part and _LETTERS.issuperset(part) for part in parts):
        raise UsageError(f"invalid platform {quote(text)}: use os/architecture[/variant]")
    if len(parts) == 1:
        if parts[0] in _KNOWN_SYSTEMS:
            raise UsageError(f"invalid platform {quote(text)}: it has no architecture")
        parts = ["linux", *parts]
    return normal(Platform(parts[0], parts[1], parts[2] if len(parts) == 3 else ""))


def of_machine(name: str) -> Platform:
    """The platform of a Linux machine, from the name that its kernel gives it."""
    return normal(Platform("linux", name, ""))


def this_machine() -> Platform:
    """The platform whose images run here."""
    return of_machine(os.uname().machine)


def normal(platform: Platform) -> Platform:
    """The platform with Go's names for its parts, and without the variant that everybody means."""
    system = _SYSTEMS.get(platform.os.lower(), platform.os.lower())
    architecture, variant = platform.architecture.lower(), platform.variant.lower()
    if architecture in _ARCHITECTURES:
        architecture, default = _ARCHITECTURES[architecture]
        variant = variant or default
    if architecture == "arm64" and variant in ("8", "v8"):
        variant = ""
    elif architecture == "arm":
        variant = "v7" if variant in ("", "7") else "v" + variant.removeprefix("v")
    elif architecture == "amd64" and variant == "v1":
        variant = ""
    return Platform(system, architecture, variant)


def shown(platform: Platform) -> str:
    """`linux/arm/v7`."""
    return "/".join(filter(None, platform))


def runs(platform: Platform) -> list[Platform]:
    """What a machine of this platform runs, the best first."""
    wanted = normal(platform)
    system, architecture, variant = wanted
    found = [wanted]
    if architecture == "amd64":
        if variant[1:].isdigit():
            found += [
                Platform(system, "amd64", f"v{n}") for n in range(int(variant[1:2]) - 1, 1, -1)
            ]
            found.append(Platform(system, "amd64", ""))
        found.append(Platform(system, "386", ""))
    elif architecture == "arm64":
        if variant:
            found.append(Platform(system, "arm64", ""))
        found += [Platform(system, "arm", f"v{number}") for number in (8, 7, 6, 5)]
    elif architecture == "arm" and variant[1:].isdigit():
        found += [Platform(system, "arm", f"v{n}") for n in range(int(variant[1:2]) - 1, 4, -1)]
    return found
