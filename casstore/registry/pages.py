"""Lists that a registry sends in pages, and the fields of an address that asks for one."""

from __future__ import annotations

from casstore.errors import RegistryError
from casstore.registry.address import origin_of, resolve, target_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from casstore.registry.answer import Answer
    from casstore.registry.remote import Repository

MAX_PAGES = 1000


def _next_page(answer: Answer, page: str) -> str:
    from casstore.registry.links import parse_links

    for link in parse_links(answer.headers("Link")):
        if "next" in link.relations:
            url = resolve(page, link.target)
            if origin_of(url) != origin_of(page):
                raise RegistryError(f"{answer.host} continues its list on another host")
            return target_of(url)
    return ""


def query(**fields: str) -> str:
    """Fields as the query of a URL."""
    from urllib.parse import quote as percent
    from urllib.parse import urlencode

    return urlencode(fields, quote_via=percent)


def pages(repository: Repository, url: str, what: str) -> Iterator[Answer]:
    """The answer for each page of a list that goes on by `Link`; the caller reads it.

    Raises:
        RegistryError: it has too many pages.
    """
    seen = set[str]()
    while url and url not in seen:
        if len(seen) >= MAX_PAGES:
            raise RegistryError(f"{what} has more than {MAX_PAGES} pages")
        seen.add(url)
        answer = repository.request("GET", url)
        url = _next_page(answer, answer.url) if answer.status == 200 else ""
        yield answer
