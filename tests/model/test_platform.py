"""Platforms: how they are written, what a machine runs, and which manifest of an index it takes."""

from __future__ import annotations

import pytest

from casstore.errors import UsageError
from casstore.model.descriptor import Descriptor
from casstore.model.digest import sha256
from casstore.model.manifest import Entry, choose
from casstore.model.mediatype import OCI_INDEX, OCI_MANIFEST
from casstore.model.platform import Platform, normal, of_machine, parse_platform, runs, shown


def entry(text: str | None, *, media_type: str = OCI_MANIFEST) -> Entry:
    platform = Platform(*[*text.split("/"), ""][:3]) if text is not None else None
    return Entry(Descriptor(media_type, sha256((text or "").encode()), 1), {}, platform, ())


def chosen(platform: str, *there: str | None) -> str | None:
    """Which of the platforms in an index is taken; `""` stands for none at all."""
    entries = [entry(one) for one in there]
    found = choose(entries, parse_platform(platform))
    return None if found is None else there[entries.index(found)]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("linux/amd64", "linux/amd64"),
        ("LINUX/AMD64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("x86_64", "linux/amd64"),
        ("i386", "linux/386"),
        ("aarch64", "linux/arm64"),
        ("macos/arm64", "darwin/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("armhf", "linux/arm/v7"),
        ("armel", "linux/arm/v6"),
        ("linux/armel/v5", "linux/arm/v5"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/riscv64", "linux/riscv64"),
        ("linux/s390x/v1", "linux/s390x/v1"),
        ("windows/386/v8", "windows/386/v8"),
    ],
)
def test_a_platform_has_gos_words_and_no_variant_that_everybody_means(
    text: str, meant: str
) -> None:
    assert shown(parse_platform(text)) == meant


@pytest.mark.parametrize(
    "text", ["", "/", "linux/", "a/b/c/d", "linux//v7", "linux/a b", "linux/\u00e9"]
)
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"use os/architecture\[/variant\]$"):
        parse_platform(text)


@pytest.mark.parametrize("text", ["linux", "windows", "macOS"])
def test_a_system_alone_is_no_platform(text: str) -> None:
    with pytest.raises(UsageError, match=r"it has no architecture$"):
        parse_platform(text)


def test_a_machine_is_known_by_the_name_its_kernel_gives_it() -> None:
    assert shown(of_machine("armv7l")) == "linux/arm/v7"


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("amd64", "amd64 386"),
        ("amd64/v3", "amd64/v3 amd64/v2 amd64 386"),
        ("amd64/v2", "amd64/v2 amd64 386"),
        ("amd64/odd", "amd64/odd 386"),
        ("arm64", "arm64 arm/v8 arm/v7 arm/v6 arm/v5"),
        ("arm64/v9", "arm64/v9 arm64 arm/v8 arm/v7 arm/v6 arm/v5"),
        ("arm/v8", "arm/v8 arm/v7 arm/v6 arm/v5"),
        ("arm/v6", "arm/v6 arm/v5"),
        ("arm/v5", "arm/v5"),
        ("arm/odd", "arm/vodd"),
        ("riscv64", "riscv64"),
        ("s390x/v8", "s390x/v8"),
    ],
)
def test_a_machine_runs_its_own_platform_best_and_older_ones_too(
    machine: str, expected: str
) -> None:
    found = runs(parse_platform(f"linux/{machine}"))

    assert [shown(one) for one in found] == [f"linux/{one}" for one in expected.split()]


def test_the_best_platform_that_the_machine_runs_is_taken_wherever_it_stands() -> None:
    assert chosen("arm64", "linux/arm/v6", "linux/arm64", "linux/arm/v7") == "linux/arm64"
    assert chosen("arm64", "linux/arm/v6", "linux/arm/v7") == "linux/arm/v7"


def test_of_equal_platforms_the_first_is_taken() -> None:
    entries = [entry("linux/arm64/v8"), entry("linux/arm64")]

    assert choose(entries, parse_platform("arm64")) is entries[0]


def test_a_manifest_without_a_platform_is_taken_last() -> None:
    assert chosen("amd64", None, "linux/386") == "linux/386"
    entries = [entry("linux/s390x"), entry(None)]
    assert choose(entries, parse_platform("amd64")) is entries[1]


def test_where_nothing_runs_nothing_is_taken() -> None:
    assert chosen("amd64", "linux/arm64", "windows/amd64") is None


def test_a_platform_in_other_words_is_the_same() -> None:
    assert chosen("amd64", "linux/x86_64") == "linux/x86_64"


def test_an_index_is_taken_as_a_manifest_is_and_nothing_else() -> None:
    other = entry("linux/amd64", media_type="application/vnd.in-toto+json")
    index = entry("linux/amd64", media_type=OCI_INDEX)

    assert choose([other, index], parse_platform("amd64")) is index


def test_normal_is_normal_already() -> None:
    platform = normal(Platform("Linux", "ARMHF", ""))

    assert normal(platform) == platform == Platform("linux", "arm", "v7")
