"""One recorded session on a store: each step run, and compared as far as the two can be equal.

Exit statuses and the images in the store afterwards are always compared. Texts are compared where
casstore means to say the same: see recording.py for dockerd's words in ours.
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from casstore import Store
from casstore.errors import NotFound
from tests.sessions.commandline import Result, casstore
from tests.sessions.recording import (
    DATED,
    State,
    States,
    bare,
    chain_to_diff,
    in_our_lines,
    in_our_words,
    names_in_table,
    states,
    table,
    untagged_sorted,
    without_layers,
)

WRONG_USAGE = 2


class Session:
    """A scenario on an empty store."""

    def __init__(
        self, scenario: Mapping[str, Any], recordings: Path, directory: Path,
        decided: Mapping[int, int],
    ) -> None:  # fmt: skip
        """`decided`: steps whose exit status is another with casstore, on purpose."""
        self._diff_ids = {bare(k): [bare(v) for v in vs] for k, vs in scenario["diff_ids"].items()}
        self._chains = chain_to_diff(scenario["diff_ids"])
        self._name = scenario["name"]
        self._recordings = recordings
        self._directory = directory
        self._decided = decided
        self._store = str(directory / "store")
        with Store(self._store) as store, store.session.change(create=True) as change:
            change.commit()
        self._hard: dict[str, Any] = {}
        self._soft: set[str] = set()
        self._recorded: States = {}
        self._apart = False  # dockerd kept what it had loaded before it refused the rest

    def close(self) -> None:
        for lease in self._hard.values():
            lease.release()

    def step(self, number: int, step: Mapping[str, Any]) -> None:
        if "hold" in step:
            self._hold(step["hold"], step["image"], running=step["state"] == "running")
        elif "release" in step:
            self._release(step["release"])
        elif step["argv"][0] == "pull":
            self._pull(step["argv"][-1])
            self._compare_store(step, refused=False)
        else:
            self._run(number, step)

    def images(self) -> States:
        with Store(self._store) as store:
            return {
                image.id.hex: State(
                    image.parent.hex if image.parent else "",
                    frozenset(name.familiar for name in image.names),
                )
                for image in store.images(all=True)
            }

    def _hold(self, name: str, image: str, *, running: bool) -> None:
        store = Store(self._store)
        if running:
            self._hard[name] = store.leases.hold(image, name=name)
        else:
            self._soft.add(name)
            store.leases.add(name, image)
        store.close()

    def _release(self, name: str) -> None:
        if name in self._hard:
            self._hard.pop(name).release()
            return
        self._soft.discard(name)
        with Store(self._store) as store:
            try:
                store.leases.remove(name)
            except NotFound:
                pass  # -f took it with its image

    def _pull(self, name: str) -> None:
        # What a pull leaves in a store, as a layout that names it: the tag first, then the digest.
        repository = name.partition("@")[0]
        registry = self._recordings / "registry"
        manifest = (registry / repository.partition("/")[2] / "latest.json").read_bytes()
        digest = "sha256:" + sha256(manifest).hexdigest()
        names = [f"{repository}@{digest}"]
        if "@" not in name:
            names.insert(0, f"{repository}:latest")
        layout = self._directory / "layout"
        shutil.rmtree(layout, ignore_errors=True)
        shutil.copytree(registry / "blobs", layout / "blobs" / "sha256")
        (layout / "blobs" / "sha256" / bare(digest)).write_bytes(manifest)
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        entries = [
            {
                "mediaType": json.loads(manifest)["mediaType"],
                "digest": digest,
                "size": len(manifest),
                "annotations": {"org.opencontainers.image.ref.name": reference},
            }
            for reference in names
        ]
        (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
        result = casstore(self._store, ["load", str(layout)])
        assert result.status == 0, result.err

    def _run(self, number: int, step: Mapping[str, Any]) -> None:
        words = step["argv"]
        before, blobs = self.images(), self._blobs()
        stdin = (self._recordings / step["stdin"]).read_bytes() if "stdin" in step else b""
        result = casstore(self._store, words, stdin)
        assert "internal error" not in result.err, result.err
        status = step["rc"]
        if status == 125 or "Usage:" in step["stderr"]:
            status = WRONG_USAGE
        if number in self._decided:
            self._apart = True
            status = self._decided[number]
        assert result.status == status, result
        command = words[1] if words[0] == "image" else words[0]
        refused = status != 0 and command == "load"
        if refused:
            assert self.images() == before
        apart = self._apart
        self._compare_store(step, refused=refused)
        if apart or self._apart:
            return
        if status == WRONG_USAGE:
            assert result.out == "" and result.err
            return
        compare = getattr(self, f"_compare_{command}", None)
        if compare is not None:
            compare(step, result, blobs)
        if status and command not in ("rmi", "inspect"):
            _compare_error(command, words, step["stderr"], result)

    def _compare_store(self, step: Mapping[str, Any], *, refused: bool) -> None:
        if "images_after" in step:
            self._recorded = states(step["images_after"])
        ours = self.images()
        if refused or self._apart:
            self._apart = ours != self._recorded
        elif any("imported" in image for image in self._recorded):
            assert _anonymous(ours) == _anonymous(self._recorded)  # IDs that depend on the clock
        else:
            assert ours == self._recorded

    def _blobs(self) -> dict[str, list[tuple[str, str]]]:
        with Store(self._store) as store:
            found = {}
            for image in store.images(all=True):
                diffs = self._diff_ids.get(image.id.hex)
                if diffs is not None:
                    layers = [layer.hex for layer in store.get(image.id).layers]
                    found[image.id.hex] = list(zip(diffs, layers, strict=True))
            return found

    # Texts

    def _compare_rmi(
        self, step: Mapping[str, Any], result: Result, blobs: Mapping[str, Any]
    ) -> None:
        theirs, ours = step["stdout"].splitlines(), result.out.splitlines()
        if self._soft and "-f" in step["argv"]:
            # In dockerd the container keeps the layers; a lease holds the image alone.
            theirs = [line.replace("Deleted: sha256:", "Deleted: ") for line in theirs]
            theirs, ours = without_layers(theirs, blobs), without_layers(ours, blobs)
        else:
            theirs = in_our_lines(theirs, blobs, self._chains)
        assert untagged_sorted(ours) == untagged_sorted(theirs)
        failed = [
            in_our_words(call["body"]["message"], unquote(call["path"][8:].partition("?")[0]))
            for call in step["api"]
            if call["status"] >= 400
        ]
        errors = result.err.splitlines()
        if result.status == 1:
            assert DATED.fullmatch(errors.pop())
        assert [re.sub("by (hard|soft) lease", "by KIND lease", e) for e in errors] == [
            re.sub("by (hard|soft) lease", "by KIND lease", e) for e in failed
        ]
        for error in errors:
            held = re.search(r"by (hard|soft) lease (\w+)", error)
            if held:
                assert held[1] == ("hard" if held[2] in self._hard else "soft")

    def _compare_prune(
        self, step: Mapping[str, Any], result: Result, blobs: Mapping[str, Any]
    ) -> None:
        if result.status:
            return
        theirs, ours = step["stdout"].splitlines(), result.out.splitlines()
        space = theirs.pop().replace("B", " B")
        assert ours.pop() == space
        assert ours[:1] == theirs[:1]
        assert ours[-1:] == theirs[-1:]
        lines = in_our_lines(theirs[1:-1], blobs, self._chains)
        assert sorted(ours[1:-1]) == sorted(lines)

    def _compare_load(
        self, step: Mapping[str, Any], result: Result, _blobs: Mapping[str, Any]
    ) -> None:
        def names(text: str) -> list[str]:
            lines = text.replace("sha256:", "").splitlines()
            return [line for line in lines if not line.startswith("Loaded image ID: ")]

        ours, theirs = names(result.out), names(step["stdout"])
        if "out.tar" in step["argv"]:  # dockerd saves in random order, casstore parents first
            ours, theirs = sorted(ours), sorted(theirs)
        if self._name != "load-legacy":  # dockerd does not tell of an archive without manifest.json
            assert ours == theirs
        told = set(re.findall("Loaded image ID: sha256:(.*)", step["stdout"]))
        if told:  # dockerd tells IDs of tagged images as well, or of none
            assert set(re.findall("Loaded image ID: (.*)", result.out)) <= told

    def _compare_images(
        self, step: Mapping[str, Any], result: Result, _blobs: Mapping[str, Any]
    ) -> None:
        if result.status:
            return
        words = step["argv"]
        if words[-1] == "{{json .}}":
            keys = ("Repository", "Tag", "ID", "CreatedAt")
            ours, theirs = (
                [tuple(str(json.loads(line)[key]) for key in keys) for line in text.splitlines()]
                for text in (result.out, step["stdout"])
            )
        elif step["stdout"].startswith(("REPOSITORY", "IMAGE ID")):
            columns = [c for c in names_in_table(step["stdout"]) if c not in ("CREATED", "SIZE")]
            assert [
                c for c in names_in_table(result.out) if c not in ("CREATED", "SIZE")
            ] == columns
            ours = table(result.out, columns)
            theirs = [
                tuple(self._as_ours(cell) for cell in row) for row in table(step["stdout"], columns)
            ]
        else:
            fields = slice(1 if ".Size" in words[-1] else None)  # a size has another form
            ours, theirs = (
                [tuple(self._as_ours(line).split(" ")[fields]) for line in text.splitlines()]
                for text in (result.out, step["stdout"])
            )
        assert sorted(ours) == sorted(theirs)
        ages = self._ages()  # images of one second, and rows of one image, are in no fixed order
        assert [ages[one] for one in _ids(ours)] == [ages[one] for one in _ids(theirs)]

    def _compare_history(
        self, step: Mapping[str, Any], result: Result, _blobs: Mapping[str, Any]
    ) -> None:
        if result.status:
            return
        if "-q" in step["argv"]:
            assert result.out == step["stdout"].replace("sha256:", "")
            return
        columns = ("IMAGE", "CREATED BY", "COMMENT")
        ours, theirs = table(result.out, columns), table(step["stdout"], columns)
        if self._name == "import":  # whose IDs depend on the clock
            ours, theirs = [row[1:] for row in ours], [row[1:] for row in theirs]
        assert ours == [tuple(self._as_ours(cell) for cell in row) for row in theirs]

    def _compare_inspect(
        self, step: Mapping[str, Any], result: Result, _blobs: Mapping[str, Any]
    ) -> None:
        if "-f" in step["argv"]:
            return
        keys = ("RepoDigests", "Comment", "Created", "Author", "Architecture", "Os", "Size")
        ours, theirs = json.loads(result.out), json.loads(step["stdout"])
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert sorted(one["RepoTags"]) == sorted(other["RepoTags"])
            assert one["RootFS"] == other["RootFS"]
            for key in keys:
                assert one[key] == other[key] or "<" in str(other[key])
            for key in ("Id", "Parent"):
                assert one[key] == other[key] or "<" in other[key]
            config = {k: v for k, v in other["Config"].items() if v}
            assert {k: v for k, v in one["Config"].items() if v} == config
        missing = re.findall(r"No such (?:object|image): (\w+)", step["stderr"])
        for name in dict.fromkeys(missing):
            assert f"Error: No such image: {name}\n" in result.err

    def _compare_save(
        self, step: Mapping[str, Any], result: Result, _blobs: Mapping[str, Any]
    ) -> None:
        if result.status:
            assert result.out == ""
            return
        theirs = step["archive"]["manifest.json"]
        ours = []
        with tarfile.open("out.tar") as archive:
            manifest = archive.extractfile("manifest.json")
            assert manifest is not None
            for entry in json.load(manifest):
                config = archive.extractfile(entry["Config"])
                assert config is not None
                entry["Config"] = sha256(config.read()).hexdigest() + ".json"
                ours.append(entry)
        assert sorted(map(_entry, ours)) == sorted(map(_entry, theirs))

    def _ages(self) -> dict[str, int]:
        with Store(self._store) as store:
            images = store.images(all=True)
        seconds = {image.id: (image.created or 0) // 10**9 for image in images}
        return {name: at for one, at in seconds.items() for name in (one.hex, one.short)}

    def _as_ours(self, text: str) -> str:
        return re.sub(r"(?<!@)sha256:([0-9a-f]{64})", self._bare_id, text)

    def _bare_id(self, found: re.Match[str]) -> str:
        return found[1] if found[1] in self._diff_ids else found[0]


def _compare_error(command: str, words: Sequence[str], stderr: str, result: Result) -> None:
    lines = result.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("Error")
    if command in ("load", "import"):
        return  # our own words: what is wrong with an input is found in another order
    message = stderr.splitlines()[0]
    if command == "save":
        message = {
            "reference does not exist": f"No such image: {words[-1]}",
            "No such image: nosuch": "No such image: nosuch:latest",
        }.get(message.removeprefix("Error response from daemon: "), message)
        message = re.sub(
            "failed to get digest (sha256:[0-9a-f]+):.*", r"No such image: \1", message
        )
    if command == "tag" and f'reference: "{words[1]}" is' in message:
        # Docker's client checks SOURCE with the words it has for TARGET; we say what rmi says.
        blank = not words[1].strip()
        reason = message.partition("is not a valid repository/tag: ")[2]
        message = "image name cannot be blank" if blank else reason
    if "template" not in message:
        given, _, cut = lines[0].partition("…")  # a long name is cut short
        theirs = in_our_words(message, words[-1])
        assert theirs.startswith(given) and theirs.endswith(cut)


def _ids(rows: Sequence[Sequence[str]]) -> list[str]:
    ids = (re.findall(r"\b[0-9a-f]{12}\b|\b[0-9a-f]{64}\b", " ".join(row)) for row in rows)
    return [found[-1] for found in ids if found]


def _anonymous(images: States) -> list[tuple[str, list[str]]]:
    return sorted((state.parent, sorted(state.references)) for state in images.values())


def _entry(entry: Mapping[str, Any]) -> tuple[str, list[str], str, int]:
    return (
        entry["Config"], sorted(entry["RepoTags"] or []), bare(entry.get("Parent", "")),
        len(entry["Layers"]),
    )  # fmt: skip
