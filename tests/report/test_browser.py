"""The page in a browser: what it draws, what it answers, and that it never leaves its file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore.report.page import write_page
from casstore.results.space import InventoryLayer
from tests.report.browser import PROGRAM, Browser
from tests.report.made import image, inventory

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed")

HOSTILE = "</script><img src=x onerror=alert(1)><script>document.title='owned'</script>"
BASE, APP, OTHER, DANGLING = 0, 1, 2, 3
IMAGES = (
    image(BASE, names="base:1", blobs=(1, 0), frees=0, refusal="has dependent child images"),
    image(APP, names="shop/app:1 shop/app:2", blobs=(1, 2, 0), frees=2000, base=BASE),
    image(OTHER, names="other:1", blobs=(1, 3, 0), frees=3000,
          labels=(("team", "payments"), (HOSTILE, HOSTILE)), leases=()),
    image(DANGLING, blobs=(4,), frees=50_000),
)  # fmt: skip
LAYERS = (1000, 2000, 3000, 50_000)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def shown(browser: Browser, tmp_path: Path) -> Browser:
    """The browser with the page of IMAGES."""
    write_page(str(tmp_path / "page.html"), inventory(*IMAGES, layers=LAYERS))
    browser.open(tmp_path / "page.html")
    return browser


def names(browser: Browser) -> list[str]:
    return browser.texts("#image-table button.name")


def test_nothing_is_asked_for_and_nothing_is_refused(shown: Browser, tmp_path: Path) -> None:
    assert shown.requests() == [(tmp_path / "page.html").as_uri()]
    assert shown.complaints() == []


def test_what_an_image_says_is_text(shown: Browser) -> None:
    shown.run("document.querySelectorAll('#image-table button.name').forEach((b) => b.click())")

    assert any(HOSTILE in text for text in shown.texts("dl.facts"))
    assert shown.run("document.title") == "images: where the space goes"
    assert shown.run("document.querySelectorAll('img').length") == 0


def test_what_layers_hide_is_shown_where_it_is_known(browser: Browser, tmp_path: Path) -> None:
    layers = (InventoryLayer(1, 2000, 500, 0), InventoryLayer(2, 2000, 200, 300))
    known = image(APP, names="shop/app:1", blobs=(1, 2, 0), layers=layers)
    page = inventory(known, *IMAGES[2:], layers=LAYERS)
    write_page(str(tmp_path / "page.html"), page)
    browser.open(tmp_path / "page.html")
    browser.run("document.querySelectorAll('#image-table button.name').forEach((b) => b.click())")
    facts, rows = browser.texts("dl.facts"), browser.texts("tr.more tbody tr")

    assert "Hidden" in browser.texts("#image-table th")
    assert any("1.00 kB of 4.00 kB (25 %) that later layers" in text for text in facts)
    assert sum("unknown; casstore report --files" in text for text in facts) == 2
    assert any("2.00 kB of files: 500 B overwritten later" in text for text in rows)
    assert any("2.00 kB of files: 200 B overwritten, 300 B deleted later" in text for text in rows)


def test_where_nothing_is_known_of_files_there_is_no_column_for_them(shown: Browser) -> None:
    assert "Hidden" not in shown.texts("#image-table th")


def test_a_script_that_gets_onto_the_page_is_not_run(shown: Browser) -> None:
    shown.run(
        "document.body.append(Object.assign(document.createElement('script'),"
        " {textContent: 'document.title = 1'}))"
    )

    assert shown.run("document.title") == "images: where the space goes"


def test_totals_tell_what_is_shared(shown: Browser) -> None:
    assert shown.texts("#tiles dd")[0].startswith("56.1 kB")
    assert shown.text("#legend").split("\n") == [
        "in one image only 55.0 kB", "shared by several 1.10 kB",
    ]  # fmt: skip


def test_images_stand_by_what_their_removal_frees(shown: Browser) -> None:
    assert names(shown) == ["<none>", "other:1", "shop/app:1", "base:1"]
    assert shown.texts("#image-table tr td:last-child") == [
        "50.0 kB",
        "3.00 kB",
        "2.00 kB",
        "stays",
    ]


def test_a_click_on_a_title_sorts_and_another_turns_round(shown: Browser) -> None:
    click = "document.querySelector('#image-table th button').click()"
    shown.run(click)
    assert names(shown) == ["<none>", "base:1", "other:1", "shop/app:1"]
    shown.run(click)

    assert names(shown) == ["shop/app:1", "other:1", "base:1", "<none>"]
    assert shown.run("document.querySelector('th[aria-sort]').ariaSort") == "descending"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("app", ["shop/app:1"]),
        ("PAYMENTS other", ["other:1"]),
        ("nosuch", []),
        (":1 shop", ["shop/app:1"]),
    ],
)
def test_search_looks_in_names_and_labels(shown: Browser, words: str, found: list[str]) -> None:
    shown.run(
        f"document.getElementById('search').value = {words!r};"
        "document.getElementById('search').dispatchEvent(new Event('input'))"
    )
    shown.call(
        "Runtime.evaluate", expression="new Promise((done) => setTimeout(done, 150))",
        awaitPromise=True,
    )  # fmt: skip

    assert names(shown) == found
    assert shown.text("#count") == f"{len(found)} of 4 images fit"


def test_selected_images_say_what_they_free_together(shown: Browser) -> None:
    pick = "document.querySelectorAll('td.pick input')[{}].click()"
    shown.run(pick.format(3))  # base:1, which shop/app:1 is built on
    assert "1 would stay" in shown.text("#chosen")
    shown.run(pick.format(2))
    assert "frees 2.00 kB" in shown.text("#chosen")  # the shared layer stays for other:1
    shown.run(pick.format(1))

    assert "3 selected: removing them together frees 6.10 kB" in shown.text("#chosen")
    command = shown.run("document.querySelector('#chosen input').value")
    assert command.startswith("casstore --store /")
    assert " rmi -f " in command


def test_the_map_is_walked_by_keys(shown: Browser) -> None:
    press = "canvas.dispatchEvent(new KeyboardEvent('keydown', {{key: '{}', bubbles: true}}))"
    shown.run(press.format("ArrowRight"))
    assert shown.text("#said").startswith("<none> ")
    shown.run(press.format("Enter"))
    assert shown.texts("#path button") == ["Store", "<none>"]
    shown.run(press.format("Escape"))
    shown.run(press.format("Escape"))

    assert shown.texts("#path button") == []


def test_areas_add_up_to_what_is_on_disk(shown: Browser) -> None:
    assert shown.run("Math.round(map.root.value)") == 56_100
    total = "map.drawn.filter((s) => s.node.kind === 'image').reduce((a, s) => a + s.w * s.h, 0)"
    assert shown.run(f"{total} / (canvas.clientWidth * canvas.clientHeight)") > 0.85


@pytest.mark.parametrize("width", [320, 700, 1600])
def test_the_page_is_never_wider_than_the_window(shown: Browser, width: int) -> None:
    shown.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=700, deviceScaleFactor=1,
        mobile=False,
    )  # fmt: skip
    shown.run("document.querySelectorAll('#image-table button.name')[1].click()")

    assert shown.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("images", "says"), [((), "no images"), (IMAGES[:1], "1 image")])
def test_an_empty_store_and_one_image_have_a_page(
    browser: Browser, tmp_path: Path, images: tuple[()], says: str
) -> None:
    write_page(str(tmp_path / "page.html"), inventory(*images, layers=LAYERS[:1]))
    browser.open(tmp_path / "page.html")

    assert browser.complaints() == []
    assert says in browser.text("#images")


def test_five_thousand_images_are_drawn_a_hundred_rows_at_a_time(
    browser: Browser, tmp_path: Path
) -> None:
    many = [image(n, names=f"r{n % 90}/app:{n}", blobs=(n % 50 + 1, 0)) for n in range(5000)]
    write_page(str(tmp_path / "page.html"), inventory(*many, layers=tuple(range(1000, 1050))))
    browser.open(tmp_path / "page.html")

    assert len(names(browser)) == 100
    assert browser.text("#count") == "5,000 images"
    assert browser.complaints() == []
