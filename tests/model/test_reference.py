"""Names of images: what is one, in full and in familiar form; Docker's grammar and texts."""

from __future__ import annotations

import pytest

from casstore.errors import InvalidReference
from casstore.model.digest import Digest
from casstore.model.reference import (
    Reference,
    familiar_name,
    is_tag,
    parse_name,
    parse_target,
    subject_of,
)

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1", "docker.io/library/busybox:1"),
        ("library/busybox", "docker.io/library/busybox:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox:latest"),
        ("shop/app", "docker.io/shop/app:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("quay.io/a/b/c:x", "quay.io/a/b/c:x"),
        ("host:5000/app", "host:5000/app:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ("[2001:DB8::1]/app", "[2001:DB8::1]/app:latest"),
        ("Host.example/app", "Host.example/app:latest"),
        (f"app@{DIGEST}", f"docker.io/library/app@{DIGEST}"),
        (f"app:1@{DIGEST}", f"docker.io/library/app@{DIGEST}"),
    ],
)
def test_a_name_means_one_reference(text: str, full: str) -> None:
    assert parse_name(text).reference == full


def test_a_name_without_a_tag_or_a_digest_has_the_tag_latest() -> None:
    assert parse_name("app").tag == "latest"
    assert parse_name(f"app@{DIGEST}").tag is None


def test_all_that_was_given_can_be_shown() -> None:
    name = parse_name(f"app:1@{DIGEST}")

    assert name.familiar == f"app:1@{DIGEST}"
    assert name.full == f"docker.io/library/app:1@{DIGEST}"


@pytest.mark.parametrize(
    "component", ["a", "0", "a.b", "a_b", "a__b", "a-b", "a---b", "a1-b_2.c", "x" * 200]
)
def test_a_component_is_letters_and_digits_with_separators_between(component: str) -> None:
    assert parse_name(f"host.x/{component}/z").repository == f"host.x/{component}/z"


@pytest.mark.parametrize(
    "component",
    [
        "",
        "-a",
        "a-",
        ".a",
        "a.",
        "_a",
        "a_",
        "a..b",
        "a___b",
        "a._b",
        "a-_b",
        "a+b",
        "a b",
        "\u00e9",
    ],
)
def test_what_is_no_component_is_refused(component: str) -> None:
    for text in (f"host.x/{component}/z", f"host.x/z/{component}"):
        with pytest.raises(InvalidReference, match=r"^invalid reference format$"):
            parse_name(text)


@pytest.mark.parametrize(
    "domain", ["a.b", "A-1.b", "host:1", "[::1]", "[::1]:1", "[12ab:CD::]", "localhost:65536"]
)
def test_a_domain_is_labels_or_an_address_in_brackets_and_perhaps_a_port(domain: str) -> None:
    assert parse_name(f"{domain}/app").repository == f"{domain}/app"


@pytest.mark.parametrize(
    "domain",
    ["-a.b", "a-.b", "a..b", ".b", "a.", "a_b.c", "host:", "host:x", "host:1x", "[]", "[::1",
     "[::g]", "[::1]x", "[::1]:", "[::1]:x", "[::1]1", "[::1]15", "[]:1", ":5000", "host:\u0661"],
)  # fmt: skip
def test_what_is_no_domain_is_refused(domain: str) -> None:
    with pytest.raises(InvalidReference, match=r"^invalid reference format"):
        parse_name(f"{domain}/app")


@pytest.mark.parametrize("tag", ["1", "A", "_", "a.b-c_d", "x" * 128])
def test_a_tag_is_up_to_128_word_characters_dots_and_hyphens(tag: str) -> None:
    assert is_tag(tag)
    assert parse_name(f"app:{tag}").tag == tag


@pytest.mark.parametrize("tag", ["", "-a", ".a", "a/b", "a b", "a:b", "\u00e9", "x" * 129])
def test_what_is_no_tag_is_refused(tag: str) -> None:
    assert not is_tag(tag)
    with pytest.raises(InvalidReference, match=r"^invalid reference format"):
        parse_name(f"host.x/app:{tag}")


@pytest.mark.parametrize(
    "digest", ["", "sha256:", f"sha256:{HEX[1:]}", f"sha256:{HEX.upper()}", f"sha512:{HEX}", HEX]
)
def test_what_is_no_sha256_digest_is_refused(digest: str) -> None:
    with pytest.raises(InvalidReference, match=r"^invalid reference format$"):
        parse_name(f"app@{digest}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "image name cannot be blank"),
        (" \t", "image name cannot be blank"),
        (HEX, f"invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings"),
        ("App", "invalid reference format: repository name must be lowercase"),
        ("host.x/App", "invalid reference format: repository name must be lowercase"),
    ],
)
def test_a_refusal_says_what_docker_says(text: str, reason: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        parse_name(text)

    assert str(caught.value) == reason


def test_a_repository_has_up_to_255_characters() -> None:
    prefix = "docker.io/library/"

    assert len(parse_name("x" * (255 - len(prefix))).repository) == 255
    with pytest.raises(InvalidReference, match=r"not be more than 255 characters$"):
        parse_name("x" * (256 - len(prefix)))


def test_a_reference_has_a_tag_or_a_digest() -> None:
    tagged, digested = Reference("host:5000/app:1"), Reference(f"host:5000/app@{DIGEST}")

    assert (tagged.repository, tagged.tag, tagged.digest) == ("host:5000/app", "1", None)
    assert (digested.repository, digested.tag) == ("host:5000/app", None)
    assert digested.digest == Digest(DIGEST)


@pytest.mark.parametrize(
    ("full", "familiar"),
    [
        ("docker.io/library/busybox", "busybox"),
        ("docker.io/library/a/b", "library/a/b"),
        ("docker.io/shop/app", "shop/app"),
        ("docker.io.example/library/app", "docker.io.example/library/app"),
        ("quay.io/library/app", "quay.io/library/app"),
    ],
)
def test_docker_hub_is_not_said_in_the_familiar_form(full: str, familiar: str) -> None:
    assert familiar_name(full) == familiar


@pytest.mark.parametrize("suffix", ["", ".sig", ".att", ".a.b"])
def test_a_tag_of_the_referrers_form_names_its_subject(suffix: str) -> None:
    assert subject_of(Reference(f"host.x/app:sha256-{HEX}{suffix}")) == DIGEST


@pytest.mark.parametrize(
    "tag",
    [f"sha256-{HEX}x", f"sha256-{HEX}-sig", f"sha256-{HEX[1:]}", f"sha256-{HEX[1:]}.sig",
     f"sha512-{HEX}.sig", f"sha256-{HEX.upper()}", HEX, f"1234567{HEX}", "latest"],
)  # fmt: skip
def test_any_other_tag_has_no_subject(tag: str) -> None:
    assert subject_of(Reference(f"host.x/app:{tag}")) is None


def test_a_digest_reference_has_no_subject() -> None:
    assert subject_of(Reference(f"host.x/app@{DIGEST}")) is None


def test_a_target_is_a_name_with_a_tag() -> None:
    assert parse_target("app") == "docker.io/library/app:latest"


def test_a_tag_cannot_be_made_for_a_digest() -> None:
    with pytest.raises(InvalidReference, match=r"^refusing to create a tag with a digest"):
        parse_target(f"app@{DIGEST}")


def test_a_name_that_would_look_like_a_digest_cannot_be_made() -> None:
    with pytest.raises(InvalidReference, match=r"^refusing to create an ambiguous tag"):
        parse_target(f"sha256:{HEX}"[:40])
    assert parse_target("shop/sha256:1") == "docker.io/shop/sha256:1"
