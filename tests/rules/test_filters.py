"""Section "images", filters: what each accepts, and the patterns for references."""

from __future__ import annotations

from datetime import datetime

import pytest

from casstore.errors import NotFound, UsageError
from casstore.model.amount import parse_duration
from casstore.model.kept import ImageFacts
from casstore.model.reference import parse_name
from casstore.rules.filters import (
    BadFilter,
    Filters,
    fits,
    glob,
    matches,
    parse_filters,
    parse_moment,
    protects,
)
from tests.rules.world import SECOND, digest_of

NOW = 1_700_000_000 * SECOND
MINUTE = 60 * SECOND


def created_of(image: str) -> int:
    """The creation time that an image has for its name."""
    if not image.isdigit():
        raise NotFound(f"No such image: {image}")
    return int(image) * SECOND


def parsed(*texts: str, patterns: tuple[str, ...] = (), numeric: bool = False) -> Filters:
    return parse_filters(
        texts, patterns=patterns, now=NOW, created_of=created_of, numeric_booleans=numeric
    )


def facts(created: int | None = 0, **labels: str) -> ImageFacts:
    at = None if created is None else created * SECOND
    return ImageFacts(digest_of("x"), None, at, 0, tuple(labels.items()))


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("lab", "lab", True),
        ("lab*", "lab:1", True),
        ("*", "other/lab", False),
        ("*/lab", "other/lab", True),
        ("l?b", "lab", True),
        ("l?b", "l/b", False),
        ("[a-l]ab", "lab", True),
        ("[^a-k]ab", "lab", True),
        ("[^l]ab", "lab", False),
        (r"\*", "*", True),
        (r"\*", "x", False),
        (r"\*b", "*b", True),
        (r"\*", "**", False),
        ("[a-bk-l]ab", "lab", True),
        ("[^a-bk-l]ab", "kab", False),
        ("[^a]", "^", True),
        ("[^a]b", "/b", False),
        (r"[\]]", "]", True),
        (r"[a\-z]", "-", True),
        (r"[a\-z]", "m", False),
        ("**", "a/b/c:1", True),
        ("a/**/c", "a/x/y/c", True),
        ("", "", True),
        ("lab", "lab2", False),
    ],
)
def test_a_pattern_is_a_shell_pattern_whose_stars_stop_at_a_slash(
    pattern: str, text: str, *, fits: bool
) -> None:
    assert glob(pattern, text) is fits


@pytest.mark.parametrize("pattern", ["[", "[a", "[]", "[a-", "\\", "a[", "[-a]", "[a-]", "[a--z]"])
def test_a_pattern_that_can_never_be_right_is_refused(pattern: str) -> None:
    with pytest.raises(BadFilter, match=r"^syntax error in pattern$"):
        parsed(f"reference={pattern}")


def test_a_pattern_of_many_stars_is_answered_at_once() -> None:
    assert not glob("a*" * 60 + "b", "a" * 200)


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("lab", True),
        ("lab:1", True),
        ("lab:*", True),
        ("lab:2", False),
        ("other/lab", False),
        ("library/lab", False),
        ("docker.io/library/lab", False),
    ],
)
def test_a_reference_pattern_is_held_against_the_familiar_name_with_and_without_tag(
    pattern: str, *, fits: bool
) -> None:
    assert matches(pattern, "lab:1") is fits


def test_a_port_is_no_tag() -> None:
    assert matches("localhost:5000/lab", "localhost:5000/lab:1")


def test_a_digest_reference_fits_by_its_name() -> None:
    assert matches("lab", f"lab@{digest_of('m')}")


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("docker.io/library/lab", "lab:1", True),
        ("docker.io/library/lab:1", "lab:1", True),
        ("docker.io/library/l*", "lab:1", True),
        ("docker.io/*/lab", "lab:1", True),
        ("docker.io/other/lab", "other/lab:1", True),
        ("docker.io/lab", "lab:1", False),
        ("docker.io/library/lab", "quay.io/library/lab:1", False),
        ("quay.io/lab", "quay.io/lab:1", True),
        ("library/lab", "lab:1", False),
        ("*/*/*", "other/lab:1", False),
    ],
)
def test_a_pattern_in_full_fits_the_canonical_name(
    pattern: str, name: str, *, expected: bool
) -> None:
    assert fits(pattern, parse_name(name).reference) is expected


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*:stable", "base/os:stable", True),
        ("*:stable", "os:stable", True),
        ("*:stable", "host:5000/a/b/os:stable", True),
        ("os", "base/os:1", True),
        ("*", "base/os:1", True),
        ("*:stable", "base/os:1", False),
        ("base/*", "base/a/os:1", False),
        ("host:5000/*", "host:5000/prod/app:1", False),
        ("docker.io/library/os", "os:1", True),
    ],
)
def test_a_pattern_without_a_slash_protects_by_the_last_part_of_a_name(
    pattern: str, name: str, *, expected: bool
) -> None:
    assert protects(pattern, parse_name(name).reference) is expected


@pytest.mark.parametrize("value", ["True", "TRUE", "maybe", ""])
def test_dangling_takes_true_and_false_as_docker_writes_them(value: str) -> None:
    with pytest.raises(BadFilter):
        parsed(f"dangling={value}")


def test_blanks_around_a_value_do_not_count() -> None:
    assert parsed("label= k").labels == (("k", None),)


def test_names_fit_if_any_pattern_fits() -> None:
    names = [parse_name(text).reference for text in ("a:1", "b:1", "c:1")]

    assert parsed("reference=a", patterns=("c:*",)).names(names) == (names[0], names[2])


def test_without_patterns_every_name_fits() -> None:
    name = parse_name("a").reference

    assert parsed().names([name]) == (name,)


def test_all_labels_must_hold() -> None:
    both = parsed("label=a", "label=b=2")

    assert both.accepts(facts(a="1", b="2"))
    assert not both.accepts(facts(a="1", b="3"))
    assert not both.accepts(facts(b="2"))


def test_a_label_with_an_empty_value_wants_an_empty_value() -> None:
    empty = parsed("label=a=")

    assert empty.accepts(facts(a=""))
    assert not empty.accepts(facts(a="1"))


def test_of_the_labels_one_character_more_is_needed_than_a_value_must_have() -> None:
    several = parsed("label=a=long", "label=a=no", "label!=b=", "label=c")

    assert several.label_room == {"a": 5, "b": 1, "c": 1}


@pytest.mark.parametrize("text", ["label=a", "label!=a", "before=5", "since=5", "until=5"])
def test_a_filter_of_labels_or_dates_does_not_accept_everything(text: str) -> None:
    assert not parsed(text).everything


def test_filters_of_names_alone_accept_every_image() -> None:
    assert parsed("reference=a*", "dangling=true").everything


def test_an_image_with_an_excluded_label_is_not_accepted() -> None:
    lacking = parsed("label!=keep", "label!=a=1")

    assert lacking.accepts(facts(a="2"))
    assert not lacking.accepts(facts(a="1"))
    assert not lacking.accepts(facts(keep=""))


def test_before_and_since_are_strict() -> None:
    assert parsed("before=100").accepts(facts(99))
    assert not parsed("before=100").accepts(facts(100))
    assert parsed("since=100").accepts(facts(101))
    assert not parsed("since=100").accepts(facts(100))


def test_of_several_images_the_oldest_of_before_and_the_newest_of_since_count() -> None:
    both = parsed("before=90", "before=80", "since=10", "since=20")

    assert (both.before, both.since) == (80 * SECOND, 20 * SECOND)


def test_until_takes_the_moment_itself_too() -> None:
    assert parsed("until=100").accepts(facts(100))
    assert not parsed("until=100").accepts(facts(101))


def test_an_image_without_a_date_is_older_than_everything() -> None:
    assert parsed("before=0").accepts(facts(None))
    assert not parsed("since=0").accepts(facts(None))


def test_the_image_of_before_must_be_there() -> None:
    with pytest.raises(NotFound):
        parsed("before=nosuch")


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("10m", 10 * MINUTE),
        ("1h30m", 90 * MINUTE),
        ("1.5h", 90 * MINUTE),
        ("24h", 1440 * MINUTE),
        ("2d", 2880 * MINUTE),
        ("500ms", SECOND // 2),
    ],
)
def test_a_duration_is_so_long_ago(text: str, ago: int) -> None:
    assert parse_moment(text, NOW) == NOW - ago


@pytest.mark.parametrize("text", ["", "10", "m", "h1", "1h30", "1..5h", "1x"])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1136214245", 1136214245),
        ("2006-01-02T15:04:05Z", 1136214245),
        ("2006-01-02T16:04:05+01:00", 1136214245),
        ("1136214245.5", 1136214245.5),
        ("-10", -10),
    ],
)
def test_a_moment_can_be_unix_seconds_or_a_date_with_its_zone(text: str, seconds: float) -> None:
    assert parse_moment(text, NOW) == seconds * SECOND


@pytest.mark.parametrize("text", ["2006-01-02", "2006-01-02T00:00:00"])
def test_a_date_without_a_zone_is_local(text: str) -> None:
    local = int(datetime(2006, 1, 2).timestamp())  # noqa: DTZ001 - local is the point

    assert parse_moment(text, NOW) == local * SECOND


@pytest.mark.parametrize("text", ["yesterday", "1.", "1.x", "\u0661", "1.\u0661", "1.\u00b2"])
def test_a_moment_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadFilter, match=r"^failed to parse value as time or duration: "):
        parsed(f"until={text}")


def test_two_untils_are_refused() -> None:
    with pytest.raises(BadFilter, match=r"^more than one until filter specified$"):
        parsed("until=1h", "until=2h")


def test_an_unknown_filter_is_refused() -> None:
    with pytest.raises(BadFilter, match=r"^Invalid filter 'nosuch'$"):
        parsed("nosuch=1")


def test_a_filter_without_a_value_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match=r"bad format of filter \(expected name=value\)$"):
        parsed("dangling")


@pytest.mark.parametrize("value", ["1", "0", "yes", ""])
def test_dangling_is_true_or_false_and_no_number(value: str) -> None:
    with pytest.raises(BadFilter, match=rf"^Invalid filter 'dangling=\[{value}\]'$"):
        parsed(f"dangling={value}")


def test_dangling_takes_no_number_where_nothing_is_said_about_it() -> None:
    with pytest.raises(BadFilter):
        parse_filters(["dangling=1"], now=NOW, created_of=created_of)


def test_prune_takes_numbers_for_dangling() -> None:
    assert parsed("dangling=1", numeric=True).dangling is True
    assert parsed("dangling=0", numeric=True).dangling is False


def test_dangling_both_true_and_false_is_true() -> None:
    assert parsed("dangling=false", "dangling=true").dangling is True
    assert parsed().dangling is None
