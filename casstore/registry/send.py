"""From the store to a registry: blobs side by side, then manifests, children before parents.

A blob that the repository has is not sent. One that another repository of the registry may have is
asked to be mounted from there, and sent where that is refused, in whatever way: nobody knows if it
was ever pushed there, or may be read. Every byte is verified against its digest before the last
piece of the blob leaves, so a damaged blob never becomes whole in the registry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping

from casstore.errors import Damaged, RegistryError, quote
from casstore.model import mediatype
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.ports.blobs import StoredBlobs
from casstore.progress import Task, wait_for
from casstore.registry.address import HTTP, HTTPS, is_loopback, place_of, resolve, split
from casstore.registry.answer import Answer
from casstore.registry.bundle import EXISTS, FOREIGN, MOUNTED, PUSHED, Bundle
from casstore.registry.documents import reason
from casstore.registry.failures import BrokenConnection, retry_after
from casstore.registry.http import ATTEMPTS, LONGEST_WAIT, RETRIED
from casstore.registry.pages import query
from casstore.registry.remote import Repository
from casstore.startup.workers import Workers

WIDTH = 4
_PIECE = 64 << 10  # small: each must leave within the time limit, over slow lines too

Told = Callable[[Descriptor, str], None]  # a blob and what became of it


def send(
    repository: Repository, bundle: Bundle, reference: str, blobs: StoredBlobs, *,
    elsewhere: Mapping[Digest, str], told: Told, tasks: Mapping[Digest, Task] | None = None,
    pulse: Callable[[], None] | None = None,
) -> Answer:  # fmt: skip
    """Bring a bundle into a repository, and let `reference` (a tag or digest) name its top.

    Args:
        elsewhere: for some blobs, the path of another repository of the registry that has them.
        told: called in this thread with each blob.
        tasks: count the bytes of blobs as they leave.
        pulse: called in this thread some times a second while it waits for others.

    Returns:
        The closed answer to the last request: its headers tell what the registry makes of it.

    Raises:
        Damaged: a blob is not what its digest says.
        RegistryError: the registry refuses.
    """
    work = _Work(repository, blobs, elsewhere, tasks or {})
    leaves = list(bundle.leaves.values())
    with Workers(WIDTH, "casstore-push") as pool:
        try:
            sent = [pool.submit(work.blob, leaf) for leaf in leaves]
            for descriptor, one in zip(leaves, sent, strict=True):
                if pulse is not None:
                    wait_for(one, pulse)
                told(descriptor, one.result())
        except BaseException:
            pool.shutdown(wait=False, cancel=True)
            repository.registry.transport.abort()
            raise
    last: Answer | None = None
    for descriptor in bundle.manifests.values():
        name = reference if descriptor == bundle.top else descriptor.digest
        last = put_manifest(repository, descriptor, blobs.read(descriptor.digest), name)
    assert last is not None
    return last


def put_manifest(
    repository: Repository, descriptor: Descriptor, data: bytes, reference: str
) -> Answer:
    """Send one manifest. Raises RegistryError."""
    answer = repository.request(
        "PUT", f"manifests/{reference}", repository.push, body=_Bytes(data),
        headers={"Content-Type": descriptor.media_type},
    )  # fmt: skip
    with answer:
        if answer.status not in (200, 201, 202):
            raise repository.refusal(answer, f"manifest {repository.shown(reference)}")
        told = answer.header("Docker-Content-Digest")
    if told.startswith("sha256:") and told != descriptor.digest:
        raise RegistryError(
            f"{repository.registry.domain} says that manifest {descriptor.digest} is {quote(told)}"
        )
    return answer


class _Work:
    """Blobs of one bundle; its methods run in several threads."""

    def __init__(
        self,
        repository: Repository,
        blobs: StoredBlobs,
        elsewhere: Mapping[Digest, str],
        tasks: Mapping[Digest, Task],
    ) -> None:
        self._repository = repository
        self._tasks = tasks
        self._blobs = blobs
        self._elsewhere = elsewhere
        self._refusing: set[str] = set()  # repositories that nothing can be mounted from

    def blob(self, descriptor: Descriptor) -> str:
        """Bring one blob there; says how."""
        if mediatype.is_foreign(descriptor.media_type):
            return FOREIGN
        if self._is_there(descriptor):
            return EXISTS
        transport = self._repository.registry.transport
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._upload(descriptor)
            except BrokenConnection as error:
                if attempt == ATTEMPTS:
                    raise
                transport.pause(attempt, error.wait)
        raise AssertionError

    def _is_there(self, descriptor: Descriptor) -> bool:
        """Whether the repository has a blob; no also where that cannot be asked."""
        answer = self._repository.request(
            "HEAD", f"blobs/{descriptor.digest}", self._repository.push
        )
        answer.close()
        length = answer.length()
        return answer.status == 200 and (length is None or length == descriptor.size)

    def _upload(self, descriptor: Descriptor) -> str:
        repository = self._repository
        mount = self._mount(descriptor)
        if mount is not None and mount.status == 201:
            mount.close()
            return f"{MOUNTED} {self._elsewhere[descriptor.digest]}"
        answer = mount or repository.request(
            "POST", "blobs/uploads/", repository.push, body=_Bytes(b"")
        )
        with answer:
            if answer.status not in (201, 202):
                raise self._refused(answer, descriptor)
            location = answer.header("Location")
        target = self._target(answer.url, location) + query(digest=descriptor.digest)
        body = _BlobBody(self._blobs, descriptor, self._tasks.get(descriptor.digest))
        answer = repository.request(
            "PUT", target, repository.push, body=body, attempts=1,
            headers={"Content-Type": "application/octet-stream"},
        )  # fmt: skip
        with answer:
            wait = retry_after(answer.header("Retry-After"))
            if answer.status in RETRIED and (wait or 0.0) <= LONGEST_WAIT:
                broken = BrokenConnection(
                    f"{repository.registry.domain} does not take blob {descriptor.digest}:"
                    f" {reason(answer)}"
                )
                broken.wait = wait
                raise broken
            # 201 is right; docker takes the others, too, and a blob that is not there after all is
            # missed by the registry when the manifest comes.
            if answer.status not in (200, 201, 202, 204):
                raise self._refused(answer, descriptor)
        return PUSHED

    def _mount(self, descriptor: Descriptor) -> Answer | None:
        """The answer to a mount: it is there, or may be sent. None where a mount is refused."""
        repository = self._repository
        source = self._elsewhere.get(descriptor.digest)
        if source is None or source in self._refusing:
            return None
        fields = query(mount=descriptor.digest, **{"from": source})
        try:
            answer = repository.request(
                "POST", f"blobs/uploads/?{fields}",
                repository.push | {f"repository:{source}:pull"}, body=_Bytes(b""), attempts=1,
            )  # fmt: skip
        except RegistryError:  # of the token server, say; what is serious comes again
            self._refusing.add(source)
            return None
        if answer.status in (201, 202):
            return answer
        answer.close()
        self._refusing.add(source)
        return None

    def _refused(self, answer: Answer, descriptor: Descriptor) -> RegistryError:
        refusal = self._repository.refusal(answer, f"blob {descriptor.digest}")
        if isinstance(refusal, RegistryError):
            return refusal
        return RegistryError(str(refusal))

    def _target(self, asked: str, location: str) -> str:
        """Where to send the bytes, with the query begun."""
        if not location:
            raise RegistryError(f"{self._repository.registry.domain} tells no place for an upload")
        target = resolve(asked, location)
        parts = split(target)
        plain = parts.scheme == HTTP and not is_loopback(place_of(target))
        if split(asked).scheme == HTTPS and plain:
            raise RegistryError(f"{place_of(asked)} wants an upload over plain http")
        return target + ("" if target[-1] in "?&" else "&" if "?" in target else "?")


class _Bytes:
    """A small body."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data

    def pieces(self) -> list[bytes]:
        return [self._data] if self._data else []


class _BlobBody:
    """A stored blob, verified while it is sent: the last piece waits for the digest."""

    def __init__(
        self, blobs: StoredBlobs, descriptor: Descriptor, task: Task | None = None
    ) -> None:
        self.size = descriptor.size
        self._task = task
        self._blobs = blobs
        self._descriptor = descriptor

    def pieces(self) -> Iterator[bytes]:
        content, left, held = hashlib.sha256(), self.size, b""
        if self._task is not None:
            self._task.done = 0  # each attempt starts from the beginning
        with self._blobs.open(self._descriptor.digest) as file:
            while piece := file.read(min(_PIECE, left + 1)):
                left -= len(piece)
                if left < 0:
                    break
                content.update(piece)
                if held:
                    yield held
                if self._task is not None:
                    self._task.advance(len(held))
                held = piece
        if left or Digest.of_bytes(content.digest()) != self._descriptor.digest:
            raise Damaged(
                f"blob {self._descriptor.digest} is damaged: its content has another digest"
            )
        if held:
            yield held
