"""The tools that casstore is measured beside: found on PATH, started privately.

Each keeps everything it writes in a folder of the benchmark's own: a docker daemon with its own
socket and root, podman with its own root, containerd likewise. What is missing is left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.measure import Account, Contender, Failed, run

PACKAGES = {
    "docker": "docker.io", "podman": "podman", "skopeo": "skopeo", "umoci": "umoci",
    "ctr": "containerd", "openssl": "openssl", "docker-registry": "docker-registry",
}  # fmt: skip


class Tool:
    """A container tool: the words of its commands, and the processor time of its daemon."""

    name = "tool"

    def words(self, *arguments: str) -> list[str]:
        """A whole command line."""
        raise NotImplementedError

    def version(self) -> str:
        """One line."""
        raise NotImplementedError

    def seconds(self) -> float:
        """The daemon's processor time so far."""
        return 0.0

    def stored(self) -> Path:
        """The folder that holds what it stores."""
        raise NotImplementedError

    def reset(self) -> None:
        """Empty its store."""
        raise NotImplementedError

    def contender(self, *arguments: str, before: Callable[[], object] = lambda: None) -> Contender:
        """One of its commands as a contender."""
        return Contender(self.name, self.words(*arguments), before, self.seconds)

    def close(self) -> None:
        """Stop what runs."""


class Casstore(Tool):
    """The one that all others are compared with."""

    name = "casstore"

    def __init__(self, python: str, store: Path, name: str = name) -> None:
        self.name = name
        self.python = python
        script = Path(python).with_name("casstore")  # `python -m` takes a millisecond or two more
        self.start = [str(script)] if script.exists() else [python, "-m", "casstore"]
        self.store = store

    def words(self, *arguments: str) -> list[str]:
        return [*self.start, "--store", str(self.store), *arguments]

    def version(self) -> str:
        return run(self.words("--version"))

    def stored(self) -> Path:
        return self.store

    def reset(self) -> None:
        shutil.rmtree(self.store, ignore_errors=True)

    def grow(self, images: int) -> None:
        """Make it a store of so many images of ten blobs each, quickly."""
        self.reset()
        beside = Path(self.python).parents[2] / "source" / "tools" / "largestore"
        script = beside if beside.exists() else Path(__file__).parents[1] / "largestore"
        words = ["--images", str(images), "--layers-per-image", "8", str(self.store)]
        run([self.python, str(script), *words])
        os.sync()


class Docker(Tool):
    """docker with a daemon of its own."""

    name = "docker"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.socket = f"unix://{folder}/docker.sock"
        folder.mkdir()
        self.account = Account(f"casstore-bench-docker-{os.getpid()}")
        # A short path: the socket of its containerd has a limit of a hundred bytes.
        command = [
            "dockerd", "-H", self.socket, "--data-root", str(self.root), "--exec-root",
            str(folder / "x"), "-p", str(folder / "pid"), "--bridge", "none", "--iptables=false",
            "--ip-forward=false", "--ip-masq=false",
        ]  # fmt: skip
        self.log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, preexec_fn=self.account.enter
        )
        self.account.watch(self.process.pid)
        _wait(self.process, lambda: run(self.words("version")), folder / "log")

    def words(self, *arguments: str) -> list[str]:
        return ["docker", "-H", self.socket, *arguments]

    def version(self) -> str:
        return run(self.words("version", "--format", "docker {{.Client.Version}}, daemon"
                                                     " {{.Server.Version}}"))  # fmt: skip

    def seconds(self) -> float:
        return self.account.seconds()

    def stored(self) -> Path:
        return self.root

    def reset(self) -> None:
        while ids := run(self.words("images", "-aq")).split():
            before = len(ids)
            subprocess.run(
                self.words("rmi", "-f", *sorted(set(ids))), check=False, capture_output=True
            )
            if len(run(self.words("images", "-aq")).split()) == before:
                raise Failed("docker does not remove its images")

    def close(self) -> None:
        _stop(self.process)
        self.log.close()
        self.account.close()


class Podman(Tool):
    """podman with a root of its own."""

    name = "podman"

    def __init__(self, folder: Path) -> None:
        self.root, self.state = folder / "root", folder / "run"
        folder.mkdir()
        run(self.words("images", "-q"))

    def words(self, *arguments: str) -> list[str]:
        return [
            "podman", "--root", str(self.root), "--runroot", str(self.state),
            "--tmpdir", str(self.state / "tmp"), *arguments,
        ]  # fmt: skip

    def version(self) -> str:
        return run(["podman", "--version"])

    def stored(self) -> Path:
        return self.root

    def reset(self) -> None:
        run(self.words("rmi", "-a", "-f"))

    def close(self) -> None:
        subprocess.run(self.words("system", "reset", "-f"), check=False, capture_output=True)
        overlay = self.root / "overlay"
        subprocess.run(["umount", str(overlay)], check=False, capture_output=True)


class Containerd(Tool):
    """ctr with a containerd of its own."""

    name = "containerd"

    def __init__(self, folder: Path) -> None:
        self.root, self.socket = folder / "root", folder / "sock"
        folder.mkdir()
        (folder / "config.toml").write_text(
            f'version = 2\nroot = "{self.root}"\nstate = "{folder / "state"}"\n'
            f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{self.socket}"\n'
        )
        self.account = Account(f"casstore-bench-containerd-{os.getpid()}")
        self.log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            ["containerd", "-c", str(folder / "config.toml")],
            stdout=self.log, stderr=self.log, preexec_fn=self.account.enter,
        )  # fmt: skip
        self.account.watch(self.process.pid)
        _wait(self.process, lambda: run(self.words("version")), folder / "log")

    def words(self, *arguments: str) -> list[str]:
        return ["ctr", "-a", str(self.socket), *arguments]

    def version(self) -> str:
        return "ctr and " + " ".join(run(["containerd", "--version"]).split()[:3:2])

    def seconds(self) -> float:
        return self.account.seconds()

    def stored(self) -> Path:
        return self.root

    def reset(self) -> None:
        names = run(self.words("images", "ls", "-q")).split()
        for start in range(0, len(names), 500):
            run(self.words("images", "rm", "--sync", *names[start : start + 500]))

    def close(self) -> None:
        _stop(self.process)
        self.log.close()
        self.account.close()


def _wait(process: subprocess.Popen[bytes], ready: object, log: Path) -> None:
    assert callable(ready)
    for _ in range(150):
        try:
            ready()
        except (Failed, OSError):
            if process.poll() is not None:
                raise Failed(f"{log.read_text(errors='replace').strip()[-300:]}") from None
            time.sleep(0.2)
        else:
            return
    process.kill()
    raise Failed("the daemon does not answer")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def found(folder: Path, wanted: Sequence[str]) -> dict[str, Tool]:
    """The peers with stores of their own that this machine has and that start."""
    kinds = {"docker": (Docker, "dockerd"), "podman": (Podman, "podman"),
             "containerd": (Containerd, "containerd")}  # fmt: skip
    tools: dict[str, Tool] = {}
    for name, (kind, program) in kinds.items():
        if name not in wanted:
            continue
        if not shutil.which(program) or not shutil.which(kind.name.replace("containerd", "ctr")):
            print(f"{name}: not on PATH, left out", file=sys.stderr)
            continue
        try:
            tools[name] = kind(folder / name)
        except (Failed, OSError) as error:
            print(f"{name}: left out: {error}", file=sys.stderr)
    return tools


def install() -> None:
    """Fetch the peers that are missing from Debian's packages; needs root."""
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    if not missing:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "-qq", "update"], check=False, env=environment)
    for package in missing:
        words = ["apt-get", "-qq", "install", "-y", "--no-install-recommends", package]
        subprocess.run(words, check=False, env=environment, stdout=sys.stderr)
