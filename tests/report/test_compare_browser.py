"""The page of a comparison in headless Chromium: it loads alone, fits the screen, can be read, and its controls work."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from restorekit.report.comparison import render
from tests.support.chromium import BINARY, Browser, browser
from tests.support.reports import NASTY, comparison

pytestmark = pytest.mark.skipif(BINARY is None, reason="no chromium; Debian's package is enough")

LAPTOP, PHONE, SMALLEST = (1366, 768), (390, 844), (360, 640)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(render(comparison()), encoding="utf-8")
    return path


LOADED = """Promise.all([...document.images].map((i) => { i.loading = "eager"; return i.decode(); }))
    .then(() => [...document.images].map((i) => i.naturalWidth))"""

# The contrast of every element with text of its own against the nearest ground behind it (WCAG 2.1, 1.4.3).
CONTRAST = """(() => {
  const parse = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const own = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  return [...document.querySelectorAll("main *")]
    .filter((e) => own(e) && !e.closest(".hidden, .stage") && e.getClientRects().length)
    .map((e) => {
      const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.tagName, e.className, e.textContent.slice(0, 20)];
    });
})()"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE, SMALLEST], ids=["laptop", "phone", "360 wide"])
def test_loads_alone_fits_and_can_be_read(chromium: Browser, page: Path, size: tuple[int, int], dark: bool) -> None:
    chromium.open(page, *size, dark=dark)
    widths = chromium.run(LOADED)
    assert len(widths) > 40
    assert min(widths) > 0
    assert chromium.requests() == [page.as_uri()]
    assert chromium.complaints() == []
    assert chromium.run("document.documentElement.scrollWidth") <= chromium.run("innerWidth") == size[0]
    contrasts = chromium.run(CONTRAST)
    assert len(contrasts) > 80
    assert min(contrasts)[0] >= 4.5, min(contrasts)
    luminous = sum(int(v) for v in re.findall(r"\d+", chromium.run("getComputedStyle(document.body).backgroundColor")))
    assert (luminous < 128) == dark


def test_what_comes_from_outside_is_noticed_and_stopped(chromium: Browser, page: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt.html"
    foreign = '<img src="https://example.invalid/x.png"><p style="color: red" onclick="alert(1)"></p>'
    spoilt.write_text(page.read_text(encoding="utf-8").replace("</main>", f"{foreign}</main>"), encoding="utf-8")
    chromium.open(spoilt, *LAPTOP)
    until = time.monotonic() + 10
    while len(chromium.complaints()) < 2 and time.monotonic() < until:
        chromium.run("new Promise((done) => setTimeout(done, 50))")
    said = " ".join(chromium.complaints())
    assert "img-src" in said
    assert "style-src" in said


def test_names_are_text_and_not_markup(chromium: Browser, page: Path) -> None:
    chromium.open(page, *LAPTOP)
    assert chromium.run("document.querySelector('h1').textContent") == f"{NASTY}.tif"
    assert chromium.run("document.scripts.length") == 1
    assert NASTY in chromium.run("document.querySelector('.refused').textContent")


def box(chromium: Browser, selector: str) -> dict[str, float]:
    """Its place in the window, scrolled to the middle."""
    chromium.run(f"document.querySelector('{selector}').scrollIntoView({{ block: 'center', behavior: 'instant' }})")
    return chromium.run(f"document.querySelector('{selector}').getBoundingClientRect().toJSON()")


def shown(chromium: Browser) -> float:
    """Per cent of the stage of the first card that is covered by the picture on the left."""
    inset = chromium.run("getComputedStyle(document.querySelector('.stage .before')).clipPath")
    numbers = [float(v) for v in re.findall(r"([\d.]+)%", inset)]
    assert numbers, inset
    return numbers[-1] if len(numbers) == 2 else 100 - numbers[0]  # calc(100% - at), or what it comes to


def test_the_slider_moves_by_mouse_and_keyboard(chromium: Browser, page: Path) -> None:
    chromium.open(page, *LAPTOP)
    stage = box(chromium, ".stage")
    y = stage["y"] + stage["height"] / 2
    assert shown(chromium) == 50
    chromium.mouse("Pressed", stage["x"] + stage["width"] / 2, y)
    for share in (0.6, 0.7, 0.8):
        chromium.mouse("Moved", stage["x"] + share * stage["width"], y)
    chromium.mouse("Released", stage["x"] + 0.8 * stage["width"], y, buttons=0)
    assert shown(chromium) == pytest.approx(80, abs=1)
    line = chromium.run("document.querySelector('.stage .line').getBoundingClientRect().toJSON()")
    assert line["x"] + 1 == pytest.approx(stage["x"] + 0.8 * stage["width"], abs=0.01 * stage["width"])
    before = shown(chromium)
    for _ in range(4):
        chromium.key("ArrowLeft", 37)
    assert shown(chromium) < before
    chromium.key("Home", 36)
    assert shown(chromium) == 0
    label = chromium.run("document.querySelector('.stage input').getAttribute('aria-label')")
    assert "Measurement" in label
    assert "answer" in label
    assert chromium.run("document.querySelector('.stage input').getAttribute('aria-valuetext')") == "0 % Measurement"


def test_the_slider_follows_a_finger(chromium: Browser, page: Path) -> None:
    chromium.open(page, *PHONE)
    chromium.call("Emulation.setTouchEmulationEnabled", enabled=True)
    stage = box(chromium, ".stage")
    y = stage["y"] + stage["height"] / 2

    def touch(kind: str, *shares: float) -> None:
        points: list[Any] = [{"x": stage["x"] + s * stage["width"], "y": y} for s in shares]
        chromium.call("Input.dispatchTouchEvent", type=f"touch{kind}", touchPoints=points)

    touch("Start", 0.5)
    for share in (0.45, 0.4, 0.3, 0.2):
        touch("Move", share)
    touch("End")
    chromium.call("Emulation.setTouchEmulationEnabled", enabled=False)
    assert shown(chromium) == pytest.approx(20, abs=2)


def test_the_menus_choose_what_is_compared(chromium: Browser, page: Path) -> None:
    chromium.open(page, *LAPTOP)
    names = chromium.run("[...document.querySelector('.controls select').options].map((o) => o.value)")
    expected = {"Measurement", "Truth", "mmps: sample 1", "mmps:a=1,b=2: mean", "mmps:a=1,b=2: sample 3"}
    assert expected <= set(names)
    assert "hqs: answer" not in names  # itself
    right = "[...document.querySelectorAll('.controls')[2].querySelectorAll('select')[1].options].map((o) => o.text)"
    assert chromium.run(right) == ["sample 1", "mean", "sample 2", "sample 3"]
    chromium.run("""(() => {
      const select = document.querySelector(".controls select");
      select.value = "Truth";
      select.dispatchEvent(new Event("change"));
    })()""")
    same = "document.querySelector('.before').src === document.querySelector('.beside').lastElementChild.firstElementChild.src"
    assert chromium.run(same) is True
    assert chromium.run("document.querySelector('.tagged.left').textContent") == "Truth"


def test_a_click_on_a_header_sorts(chromium: Browser, page: Path) -> None:
    chromium.open(page, *LAPTOP)
    order = "[...document.querySelectorAll('tbody tr')].map((r) => r.cells[0].textContent)"
    given = ["hqs", "mmps:a=1,b=2", "mmps", "ddrm"]
    assert chromium.run(order) == given
    for expected in (["mmps:a=1,b=2", "hqs", "mmps", "ddrm"], ["mmps", "hqs", "mmps:a=1,b=2", "ddrm"]):
        head = box(chromium, "thead tr:last-child th:nth-child(4) button")
        x, y = head["x"] + head["width"] / 2, head["y"] + head["height"] / 2
        chromium.mouse("Pressed", x, y)
        chromium.mouse("Released", x, y, buttons=0)
        assert chromium.run(order) == expected
    assert chromium.run("document.querySelector('[aria-sort]').getAttribute('aria-sort')") == "descending"
    # A column where an optimiser has nothing: last in both directions.
    for _ in range(2):
        chromium.run("document.querySelector('thead tr:last-child th:nth-child(5) button').click()")
        assert chromium.run(order)[2:] == ["hqs", "ddrm"]


def test_a_close_look_flips_between_pictures_at_the_same_place(chromium: Browser, page: Path) -> None:
    chromium.open(page, *LAPTOP)
    first = box(chromium, ".beside img")
    x, y = first["x"] + first["width"] / 2, first["y"] + first["height"] / 2
    chromium.mouse("Pressed", x, y)
    chromium.mouse("Released", x, y, buttons=0)
    state = "[document.querySelector('dialog').open, document.querySelector('dialog img').alt, document.querySelector('dialog img').style.cssText]"
    opened, alt, _ = chromium.run(state)
    assert (opened, alt) == (True, "Measurement")
    for _ in range(3):
        chromium.key("+", 187)
    zoomed = chromium.run(state)[2]
    chromium.key("ArrowRight", 39)
    opened, alt, place = chromium.run(state)
    assert alt == "hqs, answer"
    assert place == zoomed
    assert float(re.search(r"width: ([\d.]+)px", place)[1]) > 1366  # type: ignore[index]
    chromium.key("Escape", 27)
    assert chromium.run(state)[0] is False


def test_the_theme_can_be_switched(chromium: Browser, page: Path) -> None:
    chromium.open(page, *LAPTOP)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = chromium.run(ground)
    chromium.run("document.querySelector('.theme').click()")
    assert chromium.run(ground) != light
    assert min(chromium.run(CONTRAST))[0] >= 4.5
    chromium.run("document.querySelector('.theme').click()")
    assert chromium.run(ground) == light


def test_paper_is_white_and_has_no_controls(chromium: Browser, page: Path) -> None:
    chromium.open(page, *LAPTOP, dark=True)
    chromium.run("document.querySelector('.theme').click()")
    chromium.run("document.querySelector('.theme').click()")  # dark by choice, too
    assert chromium.run("getComputedStyle(document.body).color") == "rgb(231, 232, 234)"
    chromium.call("Emulation.setEmulatedMedia", media="print")
    assert chromium.run("getComputedStyle(document.body).color") == "rgb(27, 28, 30)"
    displayed = "(s) => [...document.querySelectorAll(s)].map((e) => getComputedStyle(e).display)"
    assert set(chromium.run(f"({displayed})('.stage input, .stage .before, .controls, .button')")) == {"none"}
    assert "none" not in chromium.run(f"({displayed})('.under, .stage img:not(.before)')")
    chromium.call("Emulation.setEmulatedMedia", media="")


def test_the_command_is_copied_or_selected_as_it_is(chromium: Browser, page: Path) -> None:
    chromium.open(page, *LAPTOP)
    assert chromium.run("document.querySelector('code').textContent") == comparison().command
    chromium.run("document.querySelector('.command button').click()")
    chromium.run("new Promise((done) => setTimeout(done, 200))")
    label = chromium.run("document.querySelector('.command button').textContent")
    assert label in ("Copied", "Selected")
    if label == "Selected":
        assert chromium.run("getSelection().toString().replace(/\\s+/g, ' ')") == comparison().command


def test_without_scripts_the_pictures_are_there(chromium: Browser, page: Path) -> None:
    chromium.open(page, *LAPTOP, script=False)
    widths = chromium.run(LOADED)
    chromium.call("Emulation.setScriptExecutionDisabled", value=False)
    assert len(widths) > 30
    assert min(widths) > 0
    assert chromium.run("document.querySelectorAll('.stage input, .controls, button').length") == 0
    assert chromium.run("getComputedStyle(document.querySelector('.under')).display") != "none"
