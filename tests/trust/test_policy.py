"""The policy file: what is understood, what is refused, which scope counts, who gets in."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from casstore.errors import CasstoreError, NotFound, Refused
from casstore.model.digest import Digest
from casstore.model.signatures import layer_of
from casstore.trust.identity import parse_identity
from casstore.trust.keys import PrivateKey, public_pem, sign
from casstore.trust.payload import write_payload
from casstore.trust.policy import (
    Candidate,
    Policy,
    Signature,
    check,
    docker_scopes,
    parse_policy,
    path_scopes,
)

DIGEST = Digest.of_hex("ab" * 32)
KEY, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
ANYTHING = [{"type": "insecureAcceptAnything"}]
REJECT = [{"type": "reject"}]
FILES = {
    "/key": public_pem(KEY.public_key()),
    "/other": public_pem(OTHER.public_key()),
    "/junk": b"junk",
}


def policy(value: Any) -> Policy:
    return parse_policy(json.dumps(value).encode(), "p.json")


def signed(**more: Any) -> list[dict[str, Any]]:
    return [{"type": "sigstoreSigned", "keyPath": "/key", **more}]


def signature(
    reference: str = "reg.io/app:1", key: PrivateKey = KEY, digest: Digest = DIGEST
) -> tuple[bytes, dict[str, str]]:
    payload = write_payload(reference, digest, {})
    return payload, layer_of(payload, sign(key, payload))["annotations"]


def candidate(name: str | None = "reg.io/app:1", *signatures: Signature, **more: Any) -> Candidate:
    identity = None if name is None else parse_identity(name)
    values: dict[str, Any] = {
        "shown": name or "it",
        "transport": "docker",
        "scopes": docker_scopes(identity) if identity else (),
        "identity": identity,
        "digest": DIGEST,
        "signatures": signatures,
    }
    return Candidate(**(values | more))


def read(path: str) -> bytes:
    if path not in FILES:
        raise NotFound(f"{path} is not there")
    return FILES[path]


def refusal(value: Any, of: Candidate) -> str:
    """What a policy says against an image; nothing where it is let in."""
    try:
        check(policy(value), of, read)
    except CasstoreError as error:
        return str(error)
    return ""


# Scopes


def test_the_scopes_of_a_name_go_from_itself_to_wildcards_of_its_host() -> None:
    assert docker_scopes(parse_identity("a.b.io:5000/x/y:1")) == (
        "a.b.io:5000/x/y:1", "a.b.io:5000/x/y", "a.b.io:5000/x", "a.b.io:5000", "*.b.io", "*.io",
    )  # fmt: skip


def test_a_short_name_is_looked_up_in_full() -> None:
    assert docker_scopes(parse_identity("busybox:1"))[:3] == (
        "docker.io/library/busybox:1", "docker.io/library/busybox", "docker.io/library",
    )  # fmt: skip


def test_the_scopes_of_a_path_are_its_directories_but_the_root() -> None:
    assert path_scopes("/a/b", "1") == ("/a/b:1", "/a/b", "/a")
    assert path_scopes("", "1") == ()


@pytest.mark.parametrize(
    ("scopes", "let_in"),
    [
        ({}, False),
        ({"": ANYTHING}, True),
        ({"reg.io": ANYTHING}, True),
        ({"*.io": ANYTHING}, True),
        ({"reg.io": ANYTHING, "": REJECT}, True),
        ({"reg.io": ANYTHING, "reg.io/app": REJECT}, False),
        ({"reg.io/app": ANYTHING, "reg.io/app:1": REJECT}, False),
        ({"reg.io/app:1": ANYTHING, "reg.io/app": REJECT}, True),
        ({"reg.io/ap": ANYTHING}, False),
        ({"reg.i": ANYTHING}, False),
    ],
)
def test_the_most_specific_scope_counts_and_no_other(scopes: Any, *, let_in: bool) -> None:
    value = {"default": REJECT, "transports": {"docker": scopes}}

    assert (refusal(value, candidate()) == "") is let_in


def test_scopes_of_another_transport_do_not_count() -> None:
    value = {"default": REJECT, "transports": {"oci": {"": ANYTHING}}}

    assert "rejects every image" in refusal(value, candidate())
    assert refusal(value, candidate(transport="oci")) == ""


# Requirements


def test_the_refusal_names_image_policy_and_reason() -> None:
    assert refusal({"default": REJECT}, candidate()) == (
        'reg.io/app:1 is refused by the policy "p.json": it rejects every image from there'
    )


def test_all_requirements_must_be_met() -> None:
    assert refusal({"default": ANYTHING + REJECT}, candidate()) != ""
    both = {"default": [*signed(), *signed(keyPath="/other")]}

    assert "not made by this key" in refusal(both, candidate("reg.io/app:1", signature()))
    assert refusal(both, candidate("reg.io/app:1", signature(), signature(key=OTHER))) == ""


@pytest.mark.parametrize(
    "keys",
    [
        {"keyPath": "/key"},
        {"keyPaths": ["/other", "/key"]},
        {"keyData": base64.b64encode(FILES["/key"]).decode()},
        {"keyDatas": [base64.b64encode(FILES[name]).decode() for name in ("/other", "/key")]},
    ],
)
def test_a_signature_by_any_of_the_keys_is_enough(keys: Any) -> None:
    value = {"default": [{"type": "sigstoreSigned", **keys}]}

    assert refusal(value, candidate("reg.io/app:1", signature())) == ""
    third = ec.generate_private_key(ec.SECP256R1())
    assert "signature 1 was not made by this key" in refusal(
        value, candidate("reg.io/app:1", signature(key=third))
    )


def test_one_good_signature_among_bad_ones_is_enough() -> None:
    empty: tuple[bytes, dict[str, str]] = (b"{}", {})
    bad = (empty, signature(digest=Digest.of_hex("00" * 32)), signature("other:1"))

    assert refusal({"default": signed()}, candidate("reg.io/app:1", *bad, signature())) == ""
    said = refusal({"default": signed()}, candidate("reg.io/app:1", *bad))
    assert "signature 1 has no annotation" in said
    assert "signature 2 is of another manifest" in said
    assert 'signature 3 has another identity: it is for "other:1"' in said


def test_an_image_without_signatures_is_refused() -> None:
    assert "it has no signatures" in refusal({"default": signed()}, candidate())


EXACT = {"type": "exactReference", "dockerReference": "vendor.io/app:1"}
EXACT_REPOSITORY = {"type": "exactRepository", "dockerRepository": "vendor.io/app"}
REMAP = {"type": "remapIdentity", "prefix": "reg.io", "signedPrefix": "vendor.io"}
BY_DIGEST = f"reg.io/app@{DIGEST}"


@pytest.mark.parametrize(
    ("identity", "name", "claimed", "let_in"),
    [
        (None, "reg.io/app:1", "reg.io/app:1", True),
        (None, "reg.io/app:1", "reg.io/app", False),  # cosign names no tag
        (None, "reg.io/app:1", "reg.io/app:2", False),
        (None, BY_DIGEST, "reg.io/app:2", True),
        ({"type": "matchRepoDigestOrExact"}, BY_DIGEST, "reg.io/app:2", True),
        ({"type": "matchExact"}, BY_DIGEST, "reg.io/app:1", False),
        ({"type": "matchExact"}, "reg.io/app:1", "reg.io/app:1", True),
        ({"type": "matchRepository"}, "reg.io/app:1", "reg.io/app", True),
        ({"type": "matchRepository"}, "reg.io/app:1", "reg.io/other", False),
        (EXACT, "reg.io/app:1", "vendor.io/app:1", True),
        (EXACT, None, "vendor.io/app:1", True),
        (EXACT, "reg.io/app:1", "reg.io/app:1", False),
        (EXACT_REPOSITORY, None, "vendor.io/app:7", True),
        (EXACT_REPOSITORY, None, "vendor.io/apps:7", False),
        (REMAP, "reg.io/app:1", "vendor.io/app:1", True),
        (REMAP, "reg.io/app:1", "reg.io/app:1", False),
        (REMAP, "other.io/app:1", "other.io/app:1", True),
    ],
)
def test_the_identity_that_must_be_claimed(
    identity: Any, name: str | None, claimed: str, *, let_in: bool
) -> None:
    more = {} if identity is None else {"signedIdentity": identity}
    said = refusal({"default": signed(**more)}, candidate(name, signature(claimed)))

    assert (said == "") is let_in


@pytest.mark.parametrize("match", ["matchExact", "matchRepository", "matchRepoDigestOrExact"])
def test_an_image_without_a_name_has_nothing_to_compare(match: str) -> None:
    value = {"default": signed(signedIdentity={"type": match})}

    assert f"it has no name, and {match} compares names" in refusal(
        value, candidate(None, signature())
    )


@pytest.mark.parametrize(
    ("requirement", "says"),
    [
        ({"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}, "GPG signatures are not"),
        ({"type": "sigstoreSigned", "fulcio": {}, "rekorPublicKeyPath": "/r"}, "asks for fulcio"),
        ({"type": "sigstoreSigned", "keyPath": "/key", "rekorPublicKeyPath": "/r"}, "asks for rek"),
        ({"type": "sigstoreSigned", "keyPath": "/nosuch"}, "/nosuch is not there"),
        ({"type": "sigstoreSigned", "keyPath": "/junk"}, '"/junk" is not a key file'),
        ({"type": "sigstoreSigned", "keyData": "anVuaw=="}, "keyData is not a key file"),
    ],
)
def test_what_cannot_be_checked_lets_nothing_in(requirement: Any, says: str) -> None:
    good = candidate("reg.io/app:1", signature())

    assert says in refusal({"default": [requirement]}, good)
    elsewhere = {"default": ANYTHING, "transports": {"docker": {"else.io": [requirement]}}}
    assert refusal(elsewhere, good) == "", "a scope that does not apply is not asked"


# The file


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([], "is not a JSON object"),
        ({}, '"default" of the policy "p.json" is not a list of requirements'),
        ({"default": []}, "is not a list of requirements"),
        ({"default": ANYTHING, "more": 1}, '"more" of the policy "p.json" is not known'),
        ({"default": ANYTHING, "transports": []}, "is not an object"),
        ({"default": ANYTHING, "transports": {"docker": []}}, 'transport "docker" of'),
        ({"default": ANYTHING, "transports": {"docker": {"x": []}}}, 'scope "x" of transport'),
        ({"default": ["x"]}, 'requirement 1 of "default"'),
        ({"default": [{}]}, 'has the unknown type ""'),
        ({"default": [{"type": "signed"}]}, 'has the unknown type "signed"'),
        ({"default": [{"type": "reject", "x": 1}]}, '"x" of requirement 1'),
        ({"default": ANYTHING * 1001}, "exceeds the limit of 1000 requirements"),
        ({"default": [{"type": "sigstoreSigned"}]}, "must have exactly one of keyPath"),
        ({"default": signed(keyData="AAAA")}, "must have exactly one of keyPath"),
        ({"default": signed(keyPath="")}, '"keyPath" of requirement 1 of "default"'),
        ({"default": signed(keyPath=7)}, "is not a string"),
        ({"default": signed(keypath="/key")}, '"keypath" of requirement 1'),
        ({"default": [{"type": "sigstoreSigned", "keyPaths": []}]}, "is empty"),
        ({"default": [{"type": "sigstoreSigned", "keyData": "%"}]}, "is not base64"),
        ({"default": signed(signedIdentity={"type": "x"})}, 'has the unknown type "x"'),
        ({"default": signed(signedIdentity={"type": "matchExact", "x": 1})}, "is not known"),
        ({"default": signed(signedIdentity={"type": "exactReference"})}, "must have dockerRef"),
        (
            {"default": signed(signedIdentity={"type": "exactReference", "dockerReference": "a"})},
            "has no tag or digest",
        ),
        (
            {"default": signed(signedIdentity=EXACT_REPOSITORY | {"dockerRepository": "a:1"})},
            "has a tag or digest",
        ),
        (
            {"default": signed(signedIdentity=EXACT | {"dockerReference": "A:1"})},
            "is not a reference: invalid reference format",
        ),
        (
            {"default": signed(signedIdentity={"type": "remapIdentity", "prefix": "x"})},
            "must have prefix and signedPrefix",
        ),
    ],
)
def test_a_policy_with_anything_unknown_is_refused_whole(value: Any, says: str) -> None:
    with pytest.raises(Refused, match=re.escape(says)):
        policy(value)


@pytest.mark.parametrize("data", [b"", b"{", b'{"default":[],"default":[]}', b" " * (2 << 20)])
def test_what_is_no_json_is_no_policy(data: bytes) -> None:
    with pytest.raises(Refused, match=r'^the policy "p.json"'):
        parse_policy(data, "p.json")
