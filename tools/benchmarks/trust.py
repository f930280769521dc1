#!/usr/bin/env python3
"""sign, verify, encrypt and decrypt of a large image, beside openssl's speed and skopeo.

    tools/benchmarks/trust.py [--megabytes N] [--runs N] [--json FILE]

`trust` is the workload for tools/bench. The image is stored without compression, so that what is
encrypted is as large as what was asked for; its layers are random bytes of a seed. Beside casstore
stand `skopeo copy --encryption-key`, and what one core of `openssl speed` does with the cipher and
the hash: encrypting hashes each byte three times (digest before and after, HMAC) and enciphers it
once, so `limit` is the time for that on all cores, with nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from benchmarks.archives import Writer  # noqa: E402
from benchmarks.measure import Contender, Failed, Row, compare, run  # noqa: E402
from benchmarks.report import machine  # noqa: E402

LAYERS = 4
HASHES = 3  # of each byte, while encrypting


def trust(
    folder: Path, casstore: Sequence[str], *, megabytes: int = 1000, runs: int = 3, seed: int = 1
) -> Iterator[Row]:
    """The rows of this workload.

    Args:
        folder: for the image, the stores and the keys; some four times its size.
        casstore: how to start casstore.
        megabytes: of the image.
        runs: of each contender, in alternation; medians are reported.
        seed: of its bytes.
    """
    store = folder / "store"
    environment = {
        "CASSTORE_STORE": str(store),
        "COSIGN_PASSWORD": "bench",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }

    def mine(*words: str) -> list[str]:
        return [*casstore, *words]

    archive = folder / "image.tar"
    size = _image(archive, megabytes, seed)
    settings = {**os.environ, **environment}
    run(mine("load", "-q", "--compression", "none", "-i", str(archive)), env=settings)
    archive.unlink()
    run(mine("key", "generate", "-o", str(folder / "key")), env=settings)
    private, public = _pair(folder)
    yield from openssl_speed(size)

    def contender(name: str, *words: str, undo: str = "") -> Contender:
        def before() -> None:
            if undo:
                subprocess.run(
                    mine("rmi", "-f", undo), env=settings, capture_output=True, check=False
                )
            os.sync()

        return Contender(name, words, before=before, environment=environment)

    image = "bench/image:1"
    for name, key in (("sign", "key.key"), ("verify", "key.pub")):
        own = contender("casstore", *mine(name, "--key", str(folder / key), image))
        yield from _with_speed(compare(name, [own], runs), 0)
    sealed = "bench/image:sealed"
    others = [
        contender(
            "casstore", *mine("encrypt", "--recipient", f"jwe:{public}", image, sealed), undo=sealed
        )
    ]
    if shutil.which("skopeo"):
        others.append(
            _skopeo(folder, store, "encrypt", ["--encryption-key", f"jwe:{public}"], image)
        )
    yield from _with_speed(compare("encrypt", others, runs), size)
    run(mine("rmi", "-f", sealed), env=settings)
    run(mine("encrypt", "--recipient", f"jwe:{public}", image, sealed), env=settings)
    run(mine("rmi", image), env=settings)  # only the encrypted form is left
    opened = "bench/image:opened"
    others = [
        contender("casstore", *mine("decrypt", "--key", str(private), sealed, opened), undo=opened)
    ]
    if shutil.which("skopeo"):
        others.append(_skopeo(folder, store, "decrypt", ["--decryption-key", str(private)], sealed))
    yield from _with_speed(compare("decrypt", others, runs), size)


def openssl_speed(size: int) -> Iterator[Row]:
    """One core's speed of cipher and hash, and the least that encrypting can take on all cores."""
    if not shutil.which("openssl"):
        return
    seconds = {}
    for name in ("aes-256-ctr", "sha256"):
        words = ["openssl", "speed", "-seconds", "1", "-bytes", "1048576", "-mr", "-evp", name]
        line = next(one for one in run(words).splitlines() if one.startswith("+F:"))
        speed = float(line.rpartition(":")[2])
        seconds[name] = size / speed
        yield Row(f"openssl {name}", "openssl", 1, size / speed, 0.0, 0, _speed(size, size / speed))
    least = (seconds["aes-256-ctr"] + HASHES * seconds["sha256"]) / (os.cpu_count() or 1)
    yield Row("encrypt", "limit", 1, least, 0.0, 0, _speed(size, least))


def _with_speed(rows: Sequence[Row], size: int) -> Iterator[Row]:
    for row in rows:
        row.note = _speed(size, row.wall) if size else ""
        yield row


def _speed(size: int, seconds: float) -> str:
    return f"{size / seconds / 1e6:.0f} MB/s"


def _image(path: Path, megabytes: int, seed: int) -> int:
    """An image of so many megabytes in its layers; their size in bytes."""
    source = random.Random(seed)
    each = megabytes * 1_000_000 // LAYERS
    archive = Writer(path)
    layers, total = [], 0
    for number in range(LAYERS):
        part = path.with_name(f"part{number}")
        part.mkdir()
        with open(part / "data", "wb") as file:
            starts = range(0, each, 1 << 20)
            file.writelines(source.randbytes(min(1 << 20, each - start)) for start in starts)
        layer = path.with_name(f"layer{number}.tar")
        run(["tar", "-C", str(part), "-cf", str(layer), "data"])
        total += layer.stat().st_size
        layers.append(archive.layer(layer))
        shutil.rmtree(part)
        layer.unlink()
    archive.image(layers, "bench/image:1")
    archive.close()
    return total


def _pair(folder: Path) -> tuple[Path, Path]:
    private, public = folder / "private.pem", folder / "public.pem"
    run(["openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-out", str(private)])
    run(["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)])
    return private, public


def _skopeo(folder: Path, store: Path, name: str, keys: Sequence[str], image: str) -> Contender:
    target = folder / f"skopeo-{name}"

    def before() -> None:
        shutil.rmtree(target, ignore_errors=True)
        os.sync()

    words = ["skopeo", "--insecure-policy", "copy", "-q", *keys, f"oci:{store}:{image}",
             f"oci:{target}:x"]  # fmt: skip
    return Contender("skopeo", words, before=before)


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=1000, help="of the image (default 1000)")
    parser.add_argument("--runs", type=int, default=3, help="of each (default 3)")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE too")
    parser.add_argument("--folder", help="where the temporary folder is made")
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory(prefix="casstore-trust-", dir=args.folder) as name:
        folder = Path(name)
        for key, text in machine(folder).items():
            print(f"{key}: {text}")
        rows = []
        try:
            for row in trust(
                folder,
                [sys.executable, "-m", "casstore"],
                megabytes=args.megabytes,
                runs=args.runs,
            ):
                rows.append(row)
                memory = f"{row.memory / 1e6:.0f} MB" if row.memory else ""
                print(
                    f"{row.workload:20} {row.contender:9} {row.wall:8.3f} s  "
                    f"cpu {row.cpu:7.3f} s  {memory:>8}  {row.note}",
                    flush=True,
                )
        except Failed as error:
            print(f"Error: {error}", file=sys.stderr)
            return 1
    if args.json:
        Path(args.json).write_text(json.dumps([row.as_dict() for row in rows], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
