"""What may be handed to the methods of Store: several values, and paths.

A method that is new is in these tests by itself: they read the signatures.
"""

from __future__ import annotations

import inspect
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import casstore
from casstore import Place, Refused, RegistryError, Store, UsageError
from casstore.cli.main import main
from casstore.registry.credentials import find_login
from casstore.trust.keys import generate_pair
from tests.store.test_store import ARCHIVE

OWNERS: dict[Any, str] = {
    Store: "", Store.leases: "leases.", Store.trash: "trash.", Store.settings: "settings.",
}  # fmt: skip
FUNCTIONS = {
    called + name: method
    for owner, called in OWNERS.items()
    for name, method in inspect.getmembers(owner, inspect.isfunction)
    if not name.startswith("_")
}
METHODS = {name: inspect.signature(method) for name, method in FUNCTIONS.items()}
PARAMETERS = [
    (name, parameter)
    for name, signature in METHODS.items()
    for parameter in signature.parameters.values()
    if parameter.name != "self"
]
# What the other parameters of a method get, by the beginning of their annotation.
FILLING: dict[str, object] = {
    "str": "app:1", "Several": (), "StrPath": "nosuch", "Key": b"", "Place": Place("oci", "x", ""),
}  # fmt: skip
SINGLE: tuple[object, ...] = ("app:39", b"app:39", bytearray(b"app:39"), casstore.Digest("sha256:"))
# A parameter that means a path has one of these names.
PATHS = {"path", "source", "out", "policy", "repair_from", "target"}
NO_PATH = {
    ("tag", "source"),
    ("tag", "target"),
    ("copy_files", "path"),
}  # names; a path in an image


def parameters_with(pattern: str) -> list[object]:
    return [
        pytest.param(name, parameter, id=f"{name}-{parameter.name}")
        for name, parameter in PARAMETERS
        if re.search(pattern, str(parameter.annotation))
    ]


def filled(name: str, but: str) -> dict[str, Any]:
    """The arguments without which `name` cannot be called, apart from one."""
    return {
        parameter.name: FILLING[re.split(r"\W", parameter.annotation)[0]]
        for parameter in METHODS[name].parameters.values()
        if parameter.name not in ("self", but)
        and parameter.default is parameter.empty
        and parameter.kind is not parameter.VAR_POSITIONAL
    }


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(ARCHIVE))
        yield store


def names(store: Store) -> list[str]:
    return sorted(name.familiar for image in store.images(all=True) for name in image.names)


# Several values


def test_a_parameter_of_several_values_is_declared_as_such() -> None:
    assert len(parameters_with("Several")) >= 10
    assert parameters_with(r"^(Sequence|Iterable|Collection|list|set|tuple)\b") == []


@pytest.mark.parametrize(
    ("name", "parameter", "single"),
    [
        pytest.param(name, parameter, single, id=f"{name}-{parameter.name}-{type(single).__name__}")
        for name, parameter in PARAMETERS
        for single in SINGLE
        if "Several" in parameter.annotation
        # where a path may stand beside several of something else, a string is that path
        and not (isinstance(single, str) and "| StrPath |" in parameter.annotation)
    ],
)
def test_one_string_is_not_several_values(
    store: Store, name: str, parameter: inspect.Parameter, single: object
) -> None:
    before = names(store)

    with pytest.raises(TypeError, match=f"^{parameter.name} takes several values"):
        attrgetter(name)(store)(**{**filled(name, parameter.name), parameter.name: single})

    assert names(store) == before


@pytest.mark.parametrize(("name", "parameter"), parameters_with("Several"))
def test_each_of_several_values_is_looked_at(
    store: Store, name: str, parameter: inspect.Parameter
) -> None:
    with pytest.raises(TypeError, match=f"^{parameter.name} takes values of type .*, not object$"):
        attrgetter(name)(store)(**{**filled(name, parameter.name), parameter.name: [object()]})


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        pytest.param(name, parameter, id=name)
        for name, parameter in PARAMETERS
        if parameter.kind is parameter.VAR_POSITIONAL
    ],
)
def test_a_list_is_not_one_of_several_arguments(
    store: Store, name: str, parameter: inspect.Parameter
) -> None:
    before = names(store)

    with pytest.raises(TypeError, match=f"^{parameter.name} takes values of type .*, not list$"):
        attrgetter(name)(store)(["app:1"], **filled(name, parameter.name))

    assert names(store) == before
    assert store.leases.list() == []


SEVERAL: dict[str, Callable[[], object]] = {
    "list": lambda: ["app:1", "other:1"],
    "tuple": lambda: ("app:1", "other:1"),
    "set": lambda: {"app:1", "other:1"},
    "frozenset": lambda: frozenset(("app:1", "other:1")),
    "mapping": lambda: {"app:1": 1, "other:1": 2},
    "keys": {"app:1": 1, "other:1": 2}.keys,
    "generator": lambda: (name for name in ["app:1", "other:1"]),
    "map": lambda: map(str, ["app:1", "other:1"]),
}


@pytest.mark.parametrize("kind", SEVERAL)
def test_whatever_holds_several_values_is_taken(store: Store, kind: str) -> None:
    removed: Any = SEVERAL[kind]()
    saved: Any = SEVERAL[kind]()

    store.save(saved, out := io.BytesIO())
    store.remove(removed)

    assert names(store) == ["app:2", "base:1"]
    store.load(io.BytesIO(out.getvalue()))
    assert names(store) == ["app:1", "app:2", "base:1", "other:1"]


def test_a_pair_alone_is_no_list_of_recipients(store: Store) -> None:
    with pytest.raises(TypeError, match=r"^recipients takes values of type tuple, not str$"):
        store.encrypt("app:1", "new:1", ("jwe", b"key"))  # type: ignore[arg-type]  # mypy refuses it too


# Paths


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        pytest.param(name, parameter, id=f"{name}-{parameter.name}")
        for name, parameter in [*PARAMETERS, ("Store", inspect.signature(Store).parameters["path"])]
        if parameter.name in PATHS and (name, parameter.name) not in NO_PATH
    ],
)
def test_a_parameter_that_means_a_path_is_declared_as_such(
    name: str, parameter: inspect.Parameter
) -> None:
    assert re.search("StrPath|Place", parameter.annotation)


def kinds_of_path(hint: Any) -> Iterator[bool]:
    """For each place in a type where a path may stand: whether a string may, too."""
    inner = get_args(hint)
    if os.PathLike[str] in inner:
        yield str in inner
    for one in inner:
        yield from kinds_of_path(one)


def test_a_path_may_be_a_string_unless_it_is_that_of_a_key() -> None:
    found = {
        f"{name}({parameter})": set(kinds_of_path(hint))
        for name, function in FUNCTIONS.items()
        for parameter, hint in get_type_hints(function).items()
    }
    paths = {where: kinds for where, kinds in found.items() if kinds}

    assert len(paths) >= 12
    # A string could be the key itself.
    keys = {
        *("sign(key)", "verify(key)", "encrypt(recipients)", "decrypt(keys)"),
        *("attestations(key)", "sbom(key)"),
    }
    assert {where for where, kinds in paths.items() if kinds == {False}} == keys
    assert {where for where, kinds in paths.items() if kinds == {True}} == paths.keys() - keys


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "archive.tar"
    path.write_bytes(ARCHIVE)
    return path


def test_a_store_is_opened_at_a_path(store: Store) -> None:
    with Store(Path(store.path)) as again:
        assert names(again) == names(store)


@pytest.mark.parametrize(
    ("variables", "path"),
    [
        ({"CASSTORE_STORE": "/srv/images", "XDG_DATA_HOME": "/data"}, "/srv/images"),
        ({"CASSTORE_STORE": "relative/images"}, "here/relative/images"),
        ({"CASSTORE_STORE": "~/images"}, "home/images"),
        ({"CASSTORE_STORE": "", "XDG_DATA_HOME": "/data"}, "/data/casstore"),
        ({"XDG_DATA_HOME": "/data"}, "/data/casstore"),
        ({"XDG_DATA_HOME": "relative"}, "home/.local/share/casstore"),
        ({}, "home/.local/share/casstore"),
    ],
)
def test_without_a_path_it_is_the_store_of_the_command_line(
    variables: dict[str, str], path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("CASSTORE_STORE", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    opened: list[str] = []

    def noted(path: str, timeout: float) -> Store:
        opened.append(Store(path).path)
        return Store.in_memory()

    main(["images"], noted)

    assert Store().path == str(tmp_path / path)
    assert opened == [Store().path]


def test_the_other_variables_are_the_command_lines_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASSTORE_STORE", str(tmp_path / "mine"))
    monkeypatch.setenv("CASSTORE_LOCK_TIMEOUT", "soon")
    monkeypatch.setenv("CASSTORE_MAX_LAYER_SIZE", "1")

    with Store() as store:
        assert store.load(io.BytesIO(ARCHIVE)).images
        assert store.max_layer_size is None


def test_without_a_path_and_without_a_home_there_is_no_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("casstore.model.storepath.store_path", lambda *_: "")

    with pytest.raises(UsageError, match="no home directory"):
        Store()


@pytest.mark.parametrize("path", [b"store", None, 7])
def test_a_store_is_opened_at_nothing_but_a_path(
    path: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(TypeError):
        Store(path)  # type: ignore[arg-type]  # mypy refuses it too

    assert list(tmp_path.iterdir()) == []


def test_a_path_is_loaded(tmp_path: Path, archive: Path) -> None:
    with Store(tmp_path / "new") as new:
        assert len(new.load(archive).images) == 3


def test_a_path_called_minus_is_a_file(
    tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    archive.rename("-")

    with Store("new") as new:
        assert len(new.load(Path("-")).images) == 3


def test_a_path_is_imported(store: Store, archive: Path) -> None:
    assert store.import_image(archive, "imported:1") == store.get("imported:1").id


@pytest.mark.parametrize("form", ["docker", "oci", "oci-dir"])
def test_an_image_is_saved_to_a_path(store: Store, tmp_path: Path, form: str) -> None:
    store.save(["app:1"], tmp_path / "saved", format=form)

    with Store(tmp_path / "new") as new:
        assert [image.id for image in new.load(tmp_path / "saved").images] == [
            store.get("app:1").id
        ]


@pytest.mark.parametrize("call", ["load", "import_image", "save"])
@pytest.mark.parametrize("wrong", ["bytes", "None", "text file"])
def test_what_is_neither_path_nor_binary_file_is_refused(
    store: Store, call: str, wrong: str
) -> None:
    given: Any = {"bytes": b"x.tar", "None": None, "text file": io.StringIO()}[wrong]
    arguments = (["app:1"], given) if call == "save" else (given,)

    with pytest.raises(TypeError, match=r"^expected a (path or a )?binary file"):
        getattr(store, call)(*arguments)


def test_a_report_goes_to_a_path(store: Store, tmp_path: Path) -> None:
    store.report(tmp_path / "report.html")

    assert (tmp_path / "report.html").stat().st_size


def test_a_store_is_cloned_to_a_path(store: Store, tmp_path: Path) -> None:
    store.clone(tmp_path / "clone")

    with Store(tmp_path / "clone") as clone:
        assert names(clone) == names(store)


def test_a_store_is_mended_from_a_path(store: Store, archive: Path) -> None:
    for blob in Path(store.path, "blobs", "sha256").iterdir():
        blob.unlink()

    assert store.check(repair=True, repair_from=[archive]).clean


def test_a_copy_goes_from_path_to_path(store: Store, tmp_path: Path) -> None:
    store.copy_out("app:1", Place("oci", tmp_path / "layout", "1"))

    store.copy_in(Place("oci", tmp_path / "layout", "1"), "copied:1")

    assert store.get("copied:1").id == store.get("app:1").id


REJECT: Mapping[str, Callable[[Store, Path, Path], object]] = {
    "load": lambda store, source, policy: store.load(source, policy=policy),
    "take": lambda store, source, policy: store.copy_in(
        Place("docker-archive", source, "app:1"), "taken:1", policy=policy
    ),
}


@pytest.mark.parametrize("call", REJECT)
def test_a_trust_policy_is_at_a_path(
    store: Store, archive: Path, tmp_path: Path, call: str
) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "reject"}]}')

    with pytest.raises(Refused, match="reject"):
        REJECT[call](store, archive, policy)


def test_a_policy_of_gc_is_at_a_path(store: Store, tmp_path: Path) -> None:
    policy = tmp_path / "gc.toml"
    policy.write_text('keep = 1\nmin-age = "0s"\n')

    for path in (policy, str(policy)):
        assert store.collect(path, dry_run=True).policy[0]["keep"] == 1
        assert casstore.parse_policy(path)[0].keep == 1
    with pytest.raises(UsageError, match="no such file"):
        store.collect("app:39", dry_run=True)


def test_rules_that_are_parsed_already_are_a_policy(store: Store) -> None:
    rules = casstore.parse_policy({"keep": 1, "min-age": "0s"})

    assert store.collect(rules, dry_run=True).policy == (rules[0].settings(),)
    with pytest.raises(casstore.BadPolicy, match='there is no setting "keeep"'):
        casstore.parse_policy({"keeep": 1})


def test_files_and_folders_for_registries_are_paths(tmp_path: Path) -> None:
    (tmp_path / "auth.json").write_text('{"auths": {"host:1": {"auth": "YTpi"}}}')
    access = casstore.Access(auth_files=(tmp_path / "auth.json",), certificates=(tmp_path,))

    login = find_login(access.logins, "host:1")
    assert login and (login.user, login.password) == ("a", "b")
    (tmp_path / "host:1").mkdir()
    (tmp_path / "host:1" / "ca.crt").write_text("no certificate")
    with casstore.Transport(access) as transport, pytest.raises(RegistryError, match="certificate"):
        transport.request("GET", "https://host:1/v2/")


def test_keys_are_at_paths(store: Store, tmp_path: Path) -> None:
    private, public = generate_pair(b"word")
    (tmp_path / "key").write_bytes(private)
    (tmp_path / "pub").write_bytes(public)

    store.sign(["app:1"], tmp_path / "key", password=lambda: b"word")

    assert store.verify("app:1", tmp_path / "pub").payloads


def test_a_key_as_a_str_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"^key is given as bytes or as a pathlib.Path, not str$"):
        store.sign(["app:1"], str(tmp_path / "key"))  # type: ignore[arg-type]  # mypy refuses it too
