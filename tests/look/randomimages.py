"""Random images: layers with files, links, devices and whiteouts in every position.

A layer is a list of tar members in the order in which they stand in its tar. What is drawn is as
tools that build images make it, and all tools read it in the same way. `ODDITIES` then change an
image into what the specification leaves open, or rules and tools get wrong.
"""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.transfer.building import OCI_CONFIG, OCI_LAYER, Layout, config_of, docker_archive

PARTS = (b"a", b"b", b"c", b"dir", b"e e", b"\xc3\xbc", b"\xff\xfe", b"-x", b"n\nl", b"a.b", b"a-")
MODES = (0o644, 0o755, 0o600, 0o4755, 0o2711, 0o1777, 0o000, 0o444)
OWNERS = (0, 1, 1000, 65534, 3_000_000)
FILE, HARD_LINK, SYMLINK = tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE
CHARACTER, BLOCK, DIRECTORY, FIFO = (
    tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE,
)  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One member of the tar of a layer."""

    name: bytes
    kind: bytes = FILE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 1_600_000_000  # seconds
    content: bytes = b""
    target: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] = field(default_factory=dict)


Layers = list[list[Member]]
Oddity = Callable[[Layers, random.Random], bool]


def layer_tar(members: list[Member]) -> bytes:
    """The tar of a layer."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as tar:
        for member in members:
            info = tarfile.TarInfo(member.name.decode("utf-8", "surrogateescape"))
            info.type, info.mode, info.mtime = member.kind, member.mode, member.mtime
            info.uid, info.gid = member.uid, member.gid
            info.linkname = member.target.decode("utf-8", "surrogateescape")
            info.devmajor, info.devminor = member.device
            info.size = len(member.content)
            info.pax_headers = {
                f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape")
                for name, value in member.xattrs.items()
            }
            # GNU's form has names as they are; pax would say in a header that they are binary.
            tar.format = tarfile.PAX_FORMAT if member.xattrs else tarfile.GNU_FORMAT
            tar.addfile(info, io.BytesIO(member.content))
    return buffer.getvalue()


def archive_of(layers: Layers, name: str) -> bytes:
    """The image as a docker archive."""
    tars = [layer_tar(layer) for layer in layers]
    config = config_of(*tars, config={"Cmd": ["/none"]})
    return docker_archive({"layers": tars, "config": config, "tags": [name]})


def layout_of(layers: Layers, tag: str) -> Layout:
    """The image as an OCI layout, for tools that read no docker archives."""
    tars, layout = [layer_tar(layer) for layer in layers], Layout()
    config = layout.blob(config_of(*tars), OCI_CONFIG)
    layout.publish(layout.manifest(config, [layout.blob(tar, OCI_LAYER) for tar in tars]), tag)
    return layout


class Drawing:
    """Draws images; the same seed draws the same."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._kinds: dict[bytes, Member] = {}  # what there is so far, roughly

    def image(self) -> Layers:
        """An image of one to four layers."""
        self._kinds = {}
        return [self._layer(number) for number in range(self._random.randint(1, 4))]

    def _layer(self, number: int) -> list[Member]:
        below = dict(self._kinds)
        members: list[Member] = []
        here: dict[bytes, Member] = {}
        for _ in range(self._random.randint(1, 10)):
            choice = self._random.random()
            if number and choice < 0.25:
                self._whiteout(members, here, below)
            elif choice < 0.37:
                self._hard_link(members, here)
            else:
                self._add(members, here, self._entry(self._name()))
        return members

    def _name(self) -> bytes:
        known = sorted(self._kinds)
        if known and self._random.random() < 0.5:
            name = self._random.choice(known)
            if self._kinds[name].kind == DIRECTORY and self._random.random() < 0.7:
                return name + b"/" + self._random.choice(PARTS)
            return name
        depth = self._random.choice((1, 1, 2, 2, 3))
        return b"/".join(self._random.choice(PARTS) for _ in range(depth))

    def _entry(self, name: bytes) -> Member:
        pick = self._random
        made = Member(
            name,
            pick.choice((FILE, FILE, FILE, DIRECTORY, DIRECTORY, SYMLINK, CHARACTER, FIFO)),
            mode=pick.choice(MODES),
            uid=pick.choice(OWNERS),
            gid=pick.choice(OWNERS),
            mtime=pick.randint(0, 2_000_000_000),
        )
        if made.kind == FILE:
            made = replace(made, content=pick.randbytes(pick.choice((0, 1, 600))))
            if pick.random() < 0.15:
                made = replace(made, xattrs={"user.note": pick.choice((b"", b"x", b"\xff\0="))})
        elif made.kind == SYMLINK:
            target = pick.choice((b"a", b"../b", b"/dir/c", b"../../../../out", b"gone", b"."))
            made = replace(made, target=target, mode=0o777)
        elif made.kind == CHARACTER:
            made = replace(made, device=pick.choice(((1, 3), (5, 1), (300, 70_000))))
        elif made.kind == DIRECTORY:
            made = replace(made, mode=made.mode | 0o700)
        return made

    def _add(self, members: list[Member], here: dict[bytes, Member], member: Member) -> None:
        name = member.name
        if name in here or not self._with_parents(members, here, name):
            return
        if member.kind != DIRECTORY and any(one.startswith(name + b"/") for one in here):
            return
        members.append(member)
        here[name] = member
        if member.kind != DIRECTORY:
            for one in [one for one in self._kinds if one.startswith(name + b"/")]:
                del self._kinds[one]
        self._kinds[name] = member

    def _with_parents(self, members: list[Member], here: dict[bytes, Member], name: bytes) -> bool:
        """Describe the directories on the way in this layer, as builders do; False: impossible."""
        parts = name.split(b"/")
        for count in range(1, len(parts)):
            above = b"/".join(parts[:count])
            known = here.get(above)
            if known is None:
                old = self._kinds.get(above)
                known = old if old is not None and old.kind == DIRECTORY else None
                known = known or replace(self._entry(above), kind=DIRECTORY, mode=0o750, target=b"")
                known = replace(known, content=b"", device=(0, 0), xattrs={})
                if old is not None and old.kind != DIRECTORY:
                    return False
                members.append(known)
                here[above] = self._kinds[above] = known
            elif known.kind != DIRECTORY:
                return False
        return True

    def _whiteout(
        self, members: list[Member], here: dict[bytes, Member], below: dict[bytes, Member]
    ) -> None:
        candidates = sorted(name for name in below if name in self._kinds)
        if not candidates:
            return
        name = self._random.choice(candidates)
        opaque = below[name].kind == DIRECTORY and self._random.random() < 0.4
        touched = any(one == name or one.startswith(name + b"/") for one in here)
        if touched or not self._with_parents(members, here, name):
            return
        if opaque:
            members.append(here.setdefault(name, below[name]))
        else:
            here[name] = Member(name)  # nothing else in this layer has its name
        if opaque:
            members.append(Member(name + b"/.wh..wh..opq", mode=0))
        else:
            head, slash, last = name.rpartition(b"/")
            members.append(Member(head + slash + b".wh." + last, mode=0))
        for one in [one for one in self._kinds if one.startswith(name + b"/")]:
            if one not in here:
                del self._kinds[one]
        if not opaque:
            self._kinds.pop(name, None)

    def _hard_link(self, members: list[Member], here: dict[bytes, Member]) -> None:
        in_tar = {member.name for member in members}
        candidates = sorted(n for n, one in here.items() if one.kind == FILE and n in in_tar)
        if not candidates:
            return
        file = here[self._random.choice(candidates)]
        name = self._name()
        if name in here or name in self._kinds:
            return
        link = replace(file, name=name, kind=HARD_LINK, target=file.name, content=b"", xattrs={})
        self._add(members, here, link)


# Oddities: each changes an image in place, if it has what that needs. True if it has.


def without_parents(layers: Layers, pick: random.Random) -> bool:
    """Directories that the layer has something in are not described in it."""
    layer = pick.choice(layers)
    names = {member.name for member in layer}
    going = {
        member.name
        for member in layer
        if member.kind == DIRECTORY and any(n.startswith(member.name + b"/") for n in names)
    }
    layer[:] = [member for member in layer if member.name not in going]
    return bool(going)


def marker_beside_its_name(layers: Layers, pick: random.Random) -> bool:
    """A whiteout in the layer that has the name, before or after it."""
    layer = pick.choice(layers)
    if not layer:
        return False
    member = pick.choice(layer)
    head, slash, last = member.name.rpartition(b"/")
    if last.startswith(b".wh."):
        return False
    layer.insert(pick.randint(0, len(layer)), Member(head + slash + b".wh." + last))
    return True


def opaque_beside_its_names(layers: Layers, pick: random.Random) -> bool:
    """An opaque marker after what its layer has in the directory."""
    layer = pick.choice(layers)
    directories = [member.name for member in layer if member.kind == DIRECTORY]
    if not directories:
        return False
    layer.append(Member(pick.choice(directories) + b"/.wh..wh..opq"))
    return True


def opaque_root(layers: Layers, pick: random.Random) -> bool:
    layer = pick.choice(layers)
    layer.insert(pick.randint(0, len(layer)), Member(b".wh..wh..opq"))
    return len(layers) > 1


def link_to_lower_layer(layers: Layers, pick: random.Random) -> bool:
    """A hard link to a file of a lower layer, which a later layer may hide."""
    if len(layers) < 2:
        return False
    number = pick.randint(1, len(layers) - 1)
    files = [
        m for layer in layers[:number] for m in layer if m.kind == FILE and b".wh." not in m.name
    ]
    if not files:
        return False
    file = pick.choice(files)
    name = b"link%d" % pick.randint(0, 9)
    layers[number].append(
        replace(file, name=name, kind=HARD_LINK, target=file.name, content=b"", xattrs={})
    )
    return True


def below_a_lower_link(layers: Layers, pick: random.Random) -> bool:
    """A name below a symbolic link of a lower layer, with or without an entry for the directory."""
    layers[0].append(
        Member(b"lib", SYMLINK, 0o777, target=pick.choice((b"usr/lib", b"gone", b"lib")))
    )
    layers[0] += [Member(b"usr", DIRECTORY, 0o755), Member(b"usr/lib", DIRECTORY, 0o755)]
    upper = [Member(b"lib/new", content=b"new")]
    if pick.random() < 0.5:
        upper.insert(0, Member(b"lib", DIRECTORY, 0o755))
    layers.append(upper)
    return True


def below_a_link_of_its_layer(layers: Layers, pick: random.Random) -> bool:
    """A name below a symbolic link of the same layer."""
    target = pick.choice((b"usr/lib", b"/usr/lib", b"../../usr/lib", b"gone", b"lib"))
    pick.choice(layers).extend(
        (
            Member(b"usr", DIRECTORY, 0o755),
            Member(b"usr/lib", DIRECTORY, 0o755),
            Member(b"lib", SYMLINK, 0o777, target=target),
            Member(b"lib/new", content=b"new"),
        )
    )
    return True


def shuffled(layers: Layers, pick: random.Random) -> bool:
    layer = pick.choice(layers)
    pick.shuffle(layer)
    return len(layer) > 1


def bare_markers(layers: Layers, pick: random.Random) -> bool:
    names = (b".wh.", b".wh..", b".wh...", b".wh..wh.aufs", b".wh..wh.plnk", b".wh..wh.orph")
    kind = pick.choice((FILE, DIRECTORY))
    layer = pick.choice(layers)
    layer.insert(pick.randint(0, len(layer)), Member(pick.choice(names), kind))
    return True


def disguised_names(layers: Layers, pick: random.Random) -> bool:
    layer = pick.choice(layers)
    before = pick.choice((b"./", b"/", b"x/../", b"../", b".//"))
    layer[:] = [
        replace(
            member,
            name=before + member.name + b"/" * (member.kind == DIRECTORY),
            target=before + member.target if member.kind == HARD_LINK else member.target,
        )
        for member in layer
    ]
    return True


def name_twice(layers: Layers, pick: random.Random) -> bool:
    layer = pick.choice(layers)
    if not layer:
        return False
    member = pick.choice(layer)
    if b".wh." in member.name:
        return False
    kind = pick.choice((FILE, DIRECTORY, SYMLINK))
    layer.append(Member(member.name, kind, 0o711, target=b"a" if kind == SYMLINK else b""))
    return True


def markers_of_a_name_and_below_it(layers: Layers, pick: random.Random) -> bool:
    layers[0] += [Member(b"foo", DIRECTORY, 0o700), Member(b"foo/bar"), Member(b"foo/baz")]
    markers = [Member(b".wh.foo"), Member(b"foo/.wh.bar")]
    pick.shuffle(markers)
    layers.append(markers)
    return True


def marker_of_another_kind(layers: Layers, pick: random.Random) -> bool:
    """A whiteout that is a directory, link or device, or has content."""
    layers[0].append(Member(b"gone", content=b"x"))
    kind = pick.choice((FILE, DIRECTORY, SYMLINK, CHARACTER))
    content = b"text" if kind == FILE else b""
    layers.append(
        [Member(b".wh.gone", kind, content=content, target=b"a" if kind == SYMLINK else b"")]
    )
    return True


ODDITIES: tuple[Oddity, ...] = (
    without_parents, marker_beside_its_name, opaque_beside_its_names, opaque_root,
    link_to_lower_layer, below_a_lower_link, below_a_link_of_its_layer, shuffled,
    bare_markers, disguised_names, name_twice, markers_of_a_name_and_below_it,
    marker_of_another_kind,
)  # fmt: skip


def odd_image(oddity: Oddity, seed: int) -> Layers:
    """An image with this oddity."""
    pick = random.Random(seed)  # noqa: S311 - no secret
    for more in range(1000):
        layers = Drawing(seed + 1000 * more).image()
        if oddity(layers, pick):
            return layers
    raise AssertionError(f"no image has room for {oddity.__name__}")


def any_odd_image(seed: int) -> Layers:
    """An image with one of the oddities."""
    return odd_image(ODDITIES[seed % len(ODDITIES)], seed)
