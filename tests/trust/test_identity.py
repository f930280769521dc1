"""Each rule by which a claimed name fits, or does not fit, the one at hand."""

from __future__ import annotations

import pytest

from casstore.errors import InvalidReference
from casstore.trust.identity import (
    matches_as_far_as_claimed,
    matches_exactly,
    matches_repo_digest_or_exactly,
    matches_repository,
    parse_identity,
    remapped,
)

DIGEST = "@sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("wanted", "claimed", "exact", "repo_or_exact", "repository", "claim"),
    [
        ("h.io/a:1", "h.io/a:1", True, True, True, True),
        ("h.io/a:1", "h.io/a:2", False, False, True, False),
        ("h.io/a:1", "h.io/a", False, False, True, True),
        ("h.io/a:1", "h.io/b:1", False, False, False, False),
        ("h.io/a" + DIGEST, "h.io/a:2", False, True, True, True),
        ("h.io/a" + DIGEST, "h.io/a", False, True, True, True),
        ("h.io/a" + DIGEST, "h.io/a" + DIGEST, True, True, True, True),
        ("h.io/a", "h.io/a", False, False, True, True),
        ("busybox:1", "index.docker.io/library/busybox:1", True, True, True, True),
        ("localhost:5000/a:1", "localhost:5000/a", False, False, True, True),
    ],
)
def test_the_rules(
    wanted: str, claimed: str, *, exact: bool, repo_or_exact: bool, repository: bool, claim: bool
) -> None:
    one, two = parse_identity(wanted), parse_identity(claimed)

    assert matches_exactly(one, two) is exact
    assert matches_repo_digest_or_exactly(one, two) is repo_or_exact
    assert matches_repository(one, two) is repository
    assert matches_as_far_as_claimed(one, two) is claim


def test_no_tag_is_not_latest() -> None:
    assert parse_identity("localhost:5000/a").tag is None
    assert parse_identity("localhost:5000/a:latest").tag == "latest"


@pytest.mark.parametrize("text", ["", "A/b", "a:b:c", "a@sha256:0"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference):
        parse_identity(text)


@pytest.mark.parametrize(
    ("name", "prefix", "signed", "text"),
    [
        ("mirror.io/v/app:1", "mirror.io/v", "vendor.io", "vendor.io/app:1"),
        ("mirror.io/v/app:1", "mirror.io", "vendor.io", "vendor.io/v/app:1"),
        ("mirror.io/v/app:1", "mirror.io/v/app", "vendor.io/x", "vendor.io/x:1"),
        ("mirror.io/vv/app:1", "mirror.io/v", "vendor.io", "mirror.io/vv/app:1"),
    ],
)
def test_a_prefix_is_remapped_at_slashes_only(
    name: str, prefix: str, signed: str, text: str
) -> None:
    assert remapped(parse_identity(name), prefix, signed).text == text
