"""registries.conf: which table counts for a name, and where it says that the name is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from casstore.errors import Refused, RegistryError
from casstore.registry.access import Access
from casstore.registry.registriesconf import Rule, endpoints, read_rules, rule_for

APP = "example.com/foo/app:1"
DIGEST = "sha256:" + "5" * 64


def rules(folder: Path, *texts: str) -> list[Rule]:
    files = []
    for number, text in enumerate(texts):
        files.append(str(folder / f"{number}.conf"))
        Path(files[-1]).write_text(text)
    return read_rules(files)


def places(found: list[Rule], name: str) -> list[str]:
    """Where a name is looked for: `HOST/PATH`, with `!` where that is insecure."""
    rule = rule_for(found, name)
    if rule is None:
        return []
    by_digest = "@" in name
    return [
        f"{one.host}/{one.path}{'!' * one.insecure}"
        for one in endpoints(rule, name)
        if one.serves(by_digest=by_digest)
    ]


ONE = "[[registry]]\nlocation = 'a.org'\n"
MIRROR = "[[registry.mirror]]\nlocation = 'b.org'\n"
# As in the manual page.
EXAMPLE = """\
unqualified-search-registries = ["example.com"]

[[registry]]
prefix = "example.com/foo"
insecure = false
blocked = false
location = "internal-registry-for-example.com/bar"

[[registry.mirror]]
location = "example-mirror-0.local/mirror-for-foo"

[[registry.mirror]]
location = "example-mirror-1.local/mirrors/foo"
insecure = true

[[registry]]
location = "registry.com"

[[registry.mirror]]
location = "mirror.registry.com"
"""


def test_the_example_of_the_manual_page(tmp_path: Path) -> None:
    found = rules(tmp_path, EXAMPLE)

    assert places(found, "example.com/foo/image:latest") == [
        "example-mirror-0.local/mirror-for-foo/image",
        "example-mirror-1.local/mirrors/foo/image!",
        "internal-registry-for-example.com/bar/image",
    ]
    assert places(found, "registry.com/image:latest") == [
        "mirror.registry.com/image", "registry.com/image",
    ]  # fmt: skip
    assert places(found, "example.com/other/image:latest") == []


@pytest.mark.parametrize(
    ("prefix", "name", "fits"),
    [
        ("example.com", APP, True),
        ("example.com/foo", APP, True),
        ("example.com/foo/app", APP, True),
        ("example.com/foo/app:1", APP, True),
        ("example.com/fo", APP, False),
        ("example.com/foo/app:2", APP, False),
        ("example.co", APP, False),
        ("example.com", "example.com:5000/foo/app:1", False),
        ("example.com:5000", "example.com:5000/foo/app:1", True),
        ("example.com/foo/app", f"example.com/foo/app@{DIGEST}", True),
        ("docker.io/library", "docker.io/library/busybox:latest", True),
        ("docker.io/busybox", "docker.io/library/busybox:latest", False),
        ("*.example.com", "a.example.com/app:1", True),
        ("*.example.com", "a.b.example.com/app:1", True),
        ("*.example.com", "a.example.com:5000/app:1", True),
        ("*.example.com", "example.com/app:1", False),
        ("*.example.com", "b.com/a.example.com/app:1", False),
        ("*.example.com", "a.example.com.evil.org/app:1", False),
    ],
)
def test_what_a_prefix_fits(prefix: str, name: str, *, fits: bool, tmp_path: Path) -> None:
    found = rules(
        tmp_path, f'[[registry]]\nprefix = "{prefix}"\nlocation = "x.org/{prefix[-3:]}"\n'
    )

    assert (rule_for(found, name) is not None) is fits


def test_the_longest_prefix_counts(tmp_path: Path) -> None:
    tables = [f'[[registry]]\nprefix = "{p}"\nlocation = "{n}.org/x"\n' for n, p in (
        ("one", "example.com"), ("three", "example.com/foo/app"), ("two", "example.com/foo"),
    )]  # fmt: skip

    assert places(rules(tmp_path, "".join(tables)), APP) == ["three.org/x"]


def test_a_wildcard_without_a_location_leaves_the_name_as_it_is(tmp_path: Path) -> None:
    text = '[[registry]]\nprefix = "*.example.com"\ninsecure = true\n'
    text += '[[registry.mirror]]\nlocation = "mirror.org/x"\n'

    assert places(rules(tmp_path, text), "a.example.com/foo/app:1") == [
        "mirror.org/x/foo/app", "a.example.com/foo/app!",
    ]  # fmt: skip


def test_a_later_file_replaces_a_table_and_in_one_file_the_first_counts(tmp_path: Path) -> None:
    table = '[[registry]]\nprefix = "example.com"\nlocation = "{}.org"\n'.format
    found = rules(tmp_path, table("one") + '[[registry]]\nlocation = "other.org"\n',
                  table("two") + table("three"))  # fmt: skip

    assert places(found, APP) == ["two.org/foo/app"]
    assert len(found) == 2


@pytest.mark.parametrize(
    ("of_all", "of_mirror", "by_tag", "by_digest"),
    [
        ("", "", True, True),
        ("", 'pull-from-mirror = "all"', True, True),
        ("", 'pull-from-mirror = "digest-only"', False, True),
        ("", 'pull-from-mirror = "tag-only"', True, False),
        ("mirror-by-digest-only = true", "", False, True),
        ("mirror-by-digest-only = false", 'pull-from-mirror = "digest-only"', False, True),
    ],
)
def test_what_a_mirror_is_asked_for(
    of_all: str, of_mirror: str, *, by_tag: bool, by_digest: bool, tmp_path: Path
) -> None:
    text = f'[[registry]]\nlocation = "example.com"\n{of_all}\n'
    text += f'[[registry.mirror]]\nlocation = "mirror.org"\n{of_mirror}\n'
    found = rules(tmp_path, text)

    assert ("mirror.org/foo/app" in places(found, APP)) is by_tag
    assert ("mirror.org/foo/app" in places(found, f"example.com/foo/app@{DIGEST}")) is by_digest
    assert places(found, APP)[-1] == "example.com/foo/app"


def test_what_is_blocked_is_refused_with_the_file_that_says_so(tmp_path: Path) -> None:
    found = rules(tmp_path, '[[registry]]\nlocation = "example.com/foo"\nblocked = true\n')

    assert places(found, "example.com/bar:1") == []
    with pytest.raises(Refused, match=r"^registry example.com/foo is blocked in .*0.conf$"):
        places(found, APP)


def test_the_first_version_says_what_is_blocked_and_insecure(tmp_path: Path) -> None:
    text = "[registries.search]\nregistries = ['a.org']\n"
    text += "[registries.insecure]\nregistries = ['b.org']\n"
    text += "[registries.block]\nregistries = ['c.org']\n"
    found = rules(tmp_path, text)

    assert places(found, "b.org/app:1") == ["b.org/app!"]
    with pytest.raises(Refused):
        places(found, "c.org/app:1")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[registry]\n", "is not TOML"),
        ("[[registry]]\nprefix = 'a.org'\n", "without a location"),
        ("[[registry]]\n", "without a location"),
        ("[[registry]]\nlocation = 'https://a.org'\n", "a location has no scheme"),
        ("[[registry]]\nlocation = 5\n", "location is not a string"),
        ("[[registry]]\nlocation = 'a.org'\nblocked = 'yes'\n", "neither true nor false"),
        ("[registry]\nlocation = 'a.org'\n", "not an array of tables"),
        ("[[registry]]\nlocation = 'a.org'\n[[registry.mirror]]\n", "mirror of a.org without"),
        ("[[registry]]\nprefix = '*.a.org/x'\n", r"expected \*.example.com"),
        (ONE + "mirror-by-digest-only = true\n" + MIRROR + "pull-from-mirror = 'all'\n",
         "only without mirror-by-digest-only"),
        (ONE + MIRROR + "pull-from-mirror = 'some'\n", "pull-from-mirror of b.org can be"),
        ("registries = 5\n[[registry]]\nlocation = 'a.org'\n", "registries is not a table"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_one_line(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=why) as error:
        rules(tmp_path, text)

    assert "0.conf" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("location", ["mirror", "mirror.org/UPPER", "other.org/x:2"])
def test_a_location_that_makes_no_name_of_it_is_an_error(location: str, tmp_path: Path) -> None:
    prefix = "example.com/foo/app:1" if location.endswith(":2") else "example.com"
    found = rules(tmp_path, f'[[registry]]\nprefix = "{prefix}"\nlocation = "{location}"\n')

    with pytest.raises(RegistryError, match="which is no name of the same tag"):
        places(found, APP)


def test_short_names_and_comments_alone_load_no_toml(tmp_path: Path) -> None:
    path = tmp_path / "registries.conf"
    path.write_text(
        '# [[registry]]\nunqualified-search-registries = ["registry.example"]\n[aliases]\n'
        '"fedora" = "registry.example/fedora"\n"registry" = "docker.io/library/registry"\n'
    )
    code = (
        "import sys; from casstore.registry.registriesconf import read_rules\n"
        "print(read_rules(sys.argv[1:]), 'tomllib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True,
                          check=True)  # fmt: skip

    assert done.stdout == "[] False\n"


@pytest.mark.parametrize(
    "text",
    [
        "registry = [{location = 'a.org', blocked = true}]\n",
        " [[ registry ]]\nlocation = 'a.org'\nblocked = true\n",
        "registries.block.registries = ['a.org']\n",
        "[registries]\nblock = {registries = ['a.org']}\n",
    ],
)
def test_a_table_counts_however_it_is_written(text: str, tmp_path: Path) -> None:
    with pytest.raises(Refused):
        places(rules(tmp_path, text), "a.org/app:1")


# Which files count


def conf(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return str(path)


def test_the_users_file_counts_with_its_drop_in_files_alone(tmp_path: Path) -> None:
    home = tmp_path / "a home" / "containers"
    own = conf(home / "registries.conf")
    second, first = conf(home / "registries.conf.d/2.conf"), conf(home / "registries.conf.d/1.conf")
    conf(home / "registries.conf.d/3.toml")

    found = Access.from_environment({"XDG_CONFIG_HOME": str(tmp_path / "a home")}).registries
    assert found == (own, first, second)
    found = Access.from_environment({"HOME": str(tmp_path)}).registries
    assert own not in found


def test_a_file_that_is_named_counts_in_place_of_others(tmp_path: Path) -> None:
    conf(tmp_path / ".config/containers/registries.conf")
    drop_in = conf(tmp_path / ".config/containers/registries.conf.d/1.conf")
    environment = {"HOME": str(tmp_path), "CONTAINERS_REGISTRIES_CONF": "/no such/file"}

    found = Access.from_environment(environment).registries
    assert (found[0], found[-1]) == ("/no such/file", drop_in)
    with pytest.raises(RegistryError, match="there is no file /no such/file"):
        read_rules([str(one) for one in found])
