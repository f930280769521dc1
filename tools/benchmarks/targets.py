"""What casstore wants to be, as ratios to its peers in the same run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from benchmarks.measure import Row


@dataclass(frozen=True)
class Target:
    """At most `limit` times the peer's figure; `plus` in seconds on top."""

    workload: str  # the beginning of the workload's name
    peer: str
    figure: str  # wall or cpu
    limit: float
    plus: float = 0.0

    def words(self) -> str:
        """The target as it is printed."""
        plus = f" + {self.plus * 1000:.0f} ms" if self.plus else ""
        limit = Fraction(self.limit).limit_denominator(1000)
        ratio = f"{self.limit:g}" if len(f"{self.limit:g}") < 6 else str(limit)
        return f"{self.figure} at most {ratio} x {self.peer}{plus}"


SMALL = ("rmi of a small image", "rmi of a tag", "tag", "images -q", "inspect")

TARGETS = (
    *(Target(name, "python -c pass", "cpu", 1.75) for name in SMALL if name != "images -q"),
    Target("images -q", "python -c pass", "cpu", 1.4),
    *(Target(name, "docker", "cpu", 1.25) for name in SMALL),
    *(Target(name, "podman", "wall", 0.6) for name in SMALL),
    Target("8 processes", "docker", "wall", 1 / 0.9),
    Target("rmi of 200 images", "docker", "wall", 0.06),
    Target("rmi of 200 images", "podman", "wall", 0.015),
    Target("rmi of 200 images", "containerd", "wall", 0.25),
    Target("load of 200 images", "docker", "wall", 1 / 100),
    Target("10000 images: images -q", "docker", "wall", 0.06),
    Target("load of", "docker", "wall", 0.25),
    Target("load of", "podman", "wall", 0.25),
    Target("load of", "skopeo oci zstd", "wall", 0.4),
    Target("load of", "docker", "cpu", 0.3),
    Target("load of", "sha256, one thread", "wall", 2.7),
    Target("the same archive again", "docker", "wall", 0.02),
    Target("the same archive again", "podman", "wall", 0.04),
    Target("save of it", "dd", "wall", 1.15),
    Target("load of 100 layers", "docker", "wall", 1 / 15),
    Target("load of 100 layers", "skopeo oci gzip", "wall", 1 / 4),
    Target("load of gzip layers", "ISA-L and two sha256", "cpu", 1.15),
    Target("a file of a layer", "tar of tar", "wall", 0.2),
    Target("a file of a layer", "umoci raw unpack", "cpu", 0.02),
    Target("unpack of an image", "umoci raw unpack", "cpu", 0.3),
    Target("unpack of an image", "docker export, tar", "wall", 0.25),
    Target("export of it to a pipe", "decompress and hash alone", "cpu", 1.1),
    Target("pull of", "docker-registry", "cpu", 1.0),
    Target("64 clients", "docker-registry", "wall", 1 / 0.3),
    Target("gc of 10000 dead", "umoci", "wall", 0.15),
    Target("gc, nothing to do", "umoci", "wall", 0.05),
    Target("prune of 200", "docker", "wall", 0.25),
    Target("prune of 200", "podman", "wall", 0.03),
    Target("fsck of", "hashlib, two threads", "wall", 1 / 0.85),
)


# cpu at so many images is at most so many times that at 10, with index.json published and without
GROWTH = {
    "rmi": ((10_000, 1.2), (100_000, 2.0)),
    "tag": ((10_000, 1.2), (100_000, 2.0)),
    "rmi, not published": ((100_000, 1.2),),
    "tag, not published": ((100_000, 1.2),),
    "inspect": ((100_000, 1.2),),
    "images -q": (),
    "images": (),
    "images --filter reference": (),
}
MEMORY = 32 * 2**20  # of all these, at any size


@dataclass(frozen=True)
class Verdict:
    """A target and the ratio that was seen."""

    workload: str
    target: str
    ratio: float
    met: bool


def verdicts(rows: Sequence[Row]) -> Iterator[Verdict]:
    """Every target whose contenders were both measured."""
    figures = {(row.workload, row.contender): row for row in rows}
    for target in TARGETS:
        for workload in dict.fromkeys(row.workload for row in rows):
            exact = target.workload in SMALL
            if workload != target.workload if exact else not workload.startswith(target.workload):
                continue
            if target.workload == "load of" and "real files" not in workload:
                continue
            own = figures.get((workload, "casstore"))
            peer = figures.get((workload, target.peer))
            if own is None or peer is None:
                continue
            mine, theirs = getattr(own, target.figure), getattr(peer, target.figure)
            met = mine <= target.limit * theirs + target.plus
            yield Verdict(workload, target.words(), mine / theirs if theirs else 0.0, met)
    yield from _growth(figures)


def _growth(figures: dict[tuple[str, str], Row]) -> Iterator[Verdict]:
    for verb, limits in GROWTH.items():
        first = figures.get((f"10 images: {verb}", "casstore"))
        for size, limit in limits:
            row = figures.get((f"{size} images: {verb}", "casstore"))
            if first is not None and row is not None:
                ratio = row.cpu / first.cpu
                words = f"cpu at most {limit:g} x that at 10 images"
                yield Verdict(row.workload, words, ratio, ratio <= limit)
        for size in (10_000, 100_000):
            row = figures.get((f"{size} images: {verb}", "casstore"))
            if row is not None:
                ratio = row.memory / MEMORY
                yield Verdict(row.workload, "memory at most 32 MiB", ratio, ratio <= 1)
