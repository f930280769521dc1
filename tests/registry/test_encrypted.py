"""Encrypted images through a registry: unchanged, and readable for who has the key."""

from __future__ import annotations

import io
from pathlib import Path

from tests.registry.conftest import NewStore
from tests.registry.servers import RealRegistry
from tests.store.test_encrypting import ARCHIVE, EC, FOR_EC, private, skopeo


def test_the_encrypted_form_goes_through_a_registry_unchanged(
    registry: RealRegistry, new_store: NewStore
) -> None:
    here, there = new_store(), new_store()
    here.load(io.BytesIO(ARCHIVE))
    name = f"{registry.host}/sealed/app:1"
    digest = here.encrypt("app:1", name, [FOR_EC])
    here.push(name)
    there.pull(name)

    assert there.get(name).manifests == (digest,)
    assert there.decrypt(name, "clear:1", private(EC)) == here.get("app:1").manifests[0]


def test_skopeo_decrypts_it_from_the_registry(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    here, there = new_store(), new_store()
    here.load(io.BytesIO(ARCHIVE))
    name = f"{registry.host}/sealed/skopeo:1"
    here.encrypt("app:1", name, [FOR_EC])
    here.push(name)
    (tmp_path / "key.pem").write_bytes(private(EC)[0][0])
    skopeo("copy", "--src-tls-verify=false", "--decryption-key", tmp_path / "key.pem",
           f"docker://{name}", f"oci:{tmp_path}/out:x:1")  # fmt: skip
    there.load(str(tmp_path / "out"))

    assert there.get("x:1").id == here.get("app:1").id
