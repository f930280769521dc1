"""`Store.files`: the files of an image as Python has them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore import Damaged, ImageFile, NotFound, Refused, Store, Unsupported
from casstore.model.fileentry import WHITEOUT
from tests.look.looking import LAYERS, NAME, PASSWD, store_with
from tests.look.randomimages import Member
from tests.transfer.building import OCI_CONFIG, OCI_LAYER, Layout, config_of, tar_of


@pytest.fixture(params=["directory", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with Store.in_memory() if request.param == "memory" else Store(tmp_path / "a store") as store:
        yield store_with((NAME, LAYERS), store=store)


def test_files_are_a_mapping_of_paths_in_the_order_of_a_walk(store: Store) -> None:
    with store.files(NAME) as files:
        assert list(files) == [
            "/", "/bin", "/dev", "/dev/null", "/etc", "/etc/name\n\udcff\\", "/etc/passwd", "/out",
            "/usr", "/usr/bin", "/usr/bin/ash", "/usr/bin/sh",
        ]  # fmt: skip
        assert len(files) == 12
        assert "/etc/passwd" in files
        assert "/etc/old" not in files


def test_a_path_may_be_bytes_and_lack_its_first_slash(store: Store) -> None:
    with store.files(NAME) as files:
        assert files[b"/etc/name\n\xff\\"] == files["etc/name\n\udcff\\"]


def test_a_file_says_what_its_layer_says(store: Store) -> None:
    with store.files(NAME) as files:
        passwd, null = files["/etc/passwd"], files["/dev/null"]

        assert (passwd.kind, passwd.mode, passwd.uid, passwd.layer) == (
            "file", 0o600, 7, files.layers[1],
        )  # fmt: skip
        assert null.device == (1, 3)
        assert files["/bin"].target == "usr/bin"
        assert files["/usr/bin/ash"].inode == files["/usr/bin/sh"].inode
        assert files["/usr"].layer is None


def test_looking_a_path_up_follows_no_link(store: Store) -> None:
    with store.files(NAME) as files:
        assert files["/bin"].kind == "symlink"
        with pytest.raises(KeyError):
            files["/bin/sh"]


def test_reading_follows_links_within_the_image(store: Store) -> None:
    with store.files(NAME) as files:
        assert files.read_bytes("/bin/ash") == b"\x7fELF shell"
        assert files.read_text("/out").startswith(PASSWD.decode())
        assert files.resolve("/out").path == "/etc/passwd"
        assert files.resolve("/bin/../bin/sh").path == "/usr/bin/sh"


def test_a_file_can_be_read_anywhere(store: Store) -> None:
    with store.files(NAME) as files, files.open("/etc/passwd") as file:
        file.seek(5)
        assert file.read(3) == b"x:0"
        file.seek(-3, io.SEEK_END)
        assert file.read() == b"sh\n"


def test_a_file_that_is_open_stays_readable_when_the_image_is_let_go(store: Store) -> None:
    with store.files(NAME) as files:
        passwd, content = files.open("/etc/passwd"), files.read_bytes("/etc/passwd")

    with passwd:
        assert passwd.read() == content


def test_a_directory_is_listed_without_what_is_below(store: Store) -> None:
    with store.files(NAME) as files:
        assert [file.path for file in files.listdir("/usr")] == ["/usr/bin"]
        assert [file.path for file in files.listdir("/bin")] == ["/usr/bin/ash", "/usr/bin/sh"]
        assert next(files.walk("/bin")).path == "/usr/bin"


def test_one_layer_is_shown_with_its_whiteouts(store: Store) -> None:
    with store.files(NAME) as files:
        shown = {file.path: file.kind for file in files.layer_contents(1)}
        assert shown["/etc/old"] == WHITEOUT
        assert list(files.layer_contents(files.layers[1])) == list(files.layer_contents(1))
        with pytest.raises(NotFound):
            files.layer_contents(2)


def test_a_layer_by_itself_has_files_too(store: Store) -> None:
    with store.files(NAME) as files:
        lowest = files.layers[0]
    with store.files(lowest) as files:
        assert files.read_bytes("/etc/old") == b"old\n"


@pytest.mark.parametrize("path", ["/gone", "/etc/passwd/x", "/bin/gone"])
def test_what_is_not_there_is_not_found(store: Store, path: str) -> None:
    with store.files(NAME) as files, pytest.raises(NotFound):
        files.open(path)


@pytest.mark.parametrize("path", ["/etc", "/dev/null"])
def test_only_regular_files_are_read(store: Store, path: str) -> None:
    with store.files(NAME) as files, pytest.raises(Refused, match="not a regular file"):
        files.open(path)


def test_an_image_that_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        store.files("gone")


def test_an_image_is_held_while_somebody_looks_into_it(store: Store) -> None:
    image = store.get(NAME).id
    with store.files(NAME) as files:
        store.remove([NAME])
        assert store.remove([image], force=True).exit_code == 1
        assert files.read_bytes("/usr/bin/sh") == b"\x7fELF shell"
    assert store.remove([image]).exit_code == 0


def test_an_artifact_has_no_files(store: Store) -> None:
    layout = Layout()
    config = layout.blob(b"{}", "application/vnd.example.thing+json")
    layout.publish(layout.manifest(config, []), "thing:latest")
    store.load(layout.tar())

    with pytest.raises(Unsupported, match="is not an image"):
        store.files("thing:latest")


def two_platforms() -> Layout:
    layout = Layout()
    children = []
    for architecture in ("amd64", "s390x"):
        tar = tar_of({"which": architecture.encode()})
        config = layout.blob(config_of(tar, architecture=architecture), OCI_CONFIG)
        platform = {"os": "linux", "architecture": architecture}
        manifest = layout.manifest(config, [layout.blob(tar, OCI_LAYER)])
        children.append({**manifest, "platform": platform})
    layout.publish(layout.index(*children), "two:latest")
    return layout


def test_the_platform_chooses_among_the_images_of_an_index(store: Store) -> None:
    store.load(two_platforms().tar())

    with store.files("two:latest", platform="linux/s390x") as files:
        assert files.read_bytes("/which") == b"s390x"
    with pytest.raises(NotFound):
        store.files("two:latest", platform="linux/riscv64")


def test_a_platform_that_the_image_is_not_for_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        store.files(NAME, platform="linux/s390x")


def test_the_first_look_keeps_a_table_and_the_second_reads_no_layer(tmp_path: Path) -> None:
    store = store_with((NAME, LAYERS), store=Store(tmp_path / "store"))
    with store.files(NAME) as files:
        listed = list(files)
        layers = files.layers
    for layer in layers:
        blob = tmp_path / "store" / "blobs" / "sha256" / layer.hex
        blob.chmod(0o600)
        blob.write_bytes(b"not what it was")

    with store.files(NAME) as files:
        assert list(files) == listed
        with pytest.raises(Damaged):
            files.read_bytes("/etc/passwd")


def test_a_layer_whose_bytes_are_wrong_is_damage(tmp_path: Path) -> None:
    store = store_with((NAME, LAYERS), store=Store(tmp_path / "store"))
    layer = store.get(NAME).layers[0]
    blob = tmp_path / "store" / "blobs" / "sha256" / layer.hex
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.chmod(0o600)
    blob.write_bytes(data)

    with pytest.raises(Damaged):
        store.files(NAME)
    assert not list((tmp_path / "store").glob("contents/*"))


def test_a_layer_that_is_no_tar_is_refused_in_one_line(store: Store) -> None:
    layout, layer = Layout(), b"this is no tar at all" * 100
    config = layout.blob(config_of(layer), OCI_CONFIG)
    layout.publish(layout.manifest(config, [layout.blob(layer, OCI_LAYER)]), "bad:latest")
    store.load(layout.tar())

    with pytest.raises(Refused) as caught:
        store.files("bad:latest")
    assert "\n" not in str(caught.value)


def test_layers_that_nobody_has_read_are_read_at_the_first_look(store: Store) -> None:
    layout = Layout()
    layout.publish(layout.image("text"), "promised:latest")
    store.load(layout.tar(), verify="digest")

    with store.files("promised:latest") as files:
        assert files.read_bytes("/file") == b"text"
    assert store.get("promised:latest").settled


def test_differences_are_told_path_by_path(store: Store) -> None:
    changed = [*LAYERS[:1], [Member(b"etc/passwd", mode=0o600, content=PASSWD), Member(b"new")]]
    store_with(("look:2", changed), store=store)

    changes = list(store.diff(NAME, "look:2"))

    assert [(one.change, one.path, one.what) for one in changes] == [
        ("removed", "/etc/name\n\udcff\\", ()),
        ("added", "/etc/old", ()),
        ("changed", "/etc/passwd", ("owner", "size", "content")),
        ("added", "/new", ()),
    ]


def test_an_image_does_not_differ_from_itself(store: Store) -> None:
    assert list(store.diff(NAME, NAME)) == []


def test_a_difference_in_time_alone_counts_if_asked_for(store: Store) -> None:
    early = [[Member(b"a", mtime=1)]]
    late = [[Member(b"a", mtime=2)]]
    store_with(("early:1", early), ("late:1", late), store=store)

    assert list(store.diff("early:1", "late:1")) == []
    assert [one.what for one in store.diff("early:1", "late:1", times=True)] == [("mtime",)]


def test_two_looks_compare_equal_file_by_file(store: Store) -> None:
    with store.files(NAME) as one, store.files(NAME) as other:
        first, second = one["/etc/passwd"], other["/etc/passwd"]
    assert first == second
    assert hash(first) == hash(second)
    assert isinstance(first, ImageFile)
    assert repr(first) == "<file '/etc/passwd', mode 600, 47 bytes>"
