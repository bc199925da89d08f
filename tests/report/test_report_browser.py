"""Reports in a real browser, opened from disk: sorting, the slider, zoom, keys, phones, the dark.

Sizes of windows are CSS pixels; screenshots have one pixel for each.
"""

from __future__ import annotations

import dataclasses
import io
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from ugpnet_core.evaluation.results import Comparison
from ugpnet_core.reports.html import HtmlReport

Make = Callable[..., Any]
NAMES = ["a.png", "inner/b c.png", "d & <e>.png", "f.png", "g.png", "h.png"]
RED, BLUE, GREEN, YELLOW = (255, 0, 0), (0, 0, 255), (0, 255, 0), (255, 255, 0)
DESKTOP, PHONE = (1280, 800), (360, 740)


@pytest.fixture(scope="module")
def some(made: Make) -> Any:
    """An evaluation of which one photograph lacks x_hat, and one has an infinite figure."""
    found = made(NAMES)
    images = list(found.evaluation.images)
    lacking = {name: row for name, row in images[3].figures.items() if name != "x_hat"}
    equal = {**images[4].figures, "x_hat": {"psnr": math.inf, "lpips": 0.0}}
    images[3] = dataclasses.replace(images[3], figures=lacking)
    images[4] = dataclasses.replace(images[4], figures=equal)
    found.evaluation = dataclasses.replace(found.evaluation, images=tuple(images))
    found.images[3] = {name: one for name, one in found.images[3].items() if name != "x_hat"}
    return found


@pytest.fixture(scope="module")
def folder(some: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reports") / "a report, näher"
    some.write(path)
    return path


@pytest.fixture
def page(browser: Chrome) -> Iterator[Chrome]:
    """The browser, with a window as on a desk; it must have nothing to complain about."""
    resize(browser, DESKTOP)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.get_log("browser")  # what others left behind
    yield browser
    assert browser.get_log("browser") == []


def resize(page: Chrome, size: tuple[int, int]) -> None:
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**metrics, "mobile": size == PHONE})
    # Sizes are observed with the next frame.
    page.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


def opened(page: Chrome, path: Path, state: str = "") -> None:
    page.get("about:blank")  # else a change of the state alone would not load the page
    page.get(path.as_uri() + state)


def find(page: Chrome, selector: str) -> WebElement:
    return page.find_element(By.CSS_SELECTOR, selector)


def pixels(element: WebElement) -> Any:
    """The element as it is seen, (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB"))


def colour(element: WebElement, x: float, y: float = 0.2) -> tuple[int, ...]:
    """What is seen at a place of an element, in its width and height."""
    shot = pixels(element)
    return tuple(shot[round(y * (shot.shape[0] - 1)), round(x * (shot.shape[1] - 1))].tolist())


def actions(page: Chrome) -> ActionChains:
    return ActionChains(page, duration=20)


def overflow(page: Chrome) -> int:
    script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    return int(page.execute_script(script))


def listed(page: Chrome) -> list[str]:
    cells = "[...document.querySelectorAll('#list tbody th')].map((cell) => cell.textContent)"
    return list(page.execute_script(f"return {cells}"))


def sorted_by(page: Chrome) -> list[list[str]]:
    script = (
        "[...document.querySelectorAll('[aria-sort]')].map((one) => [one.innerText, one.ariaSort])"
    )
    return list(page.execute_script(f"return {script}"))


def head(page: Chrome, title: str) -> WebElement:
    path = f"//table[@id='list']//button[.='{title}']"
    return page.find_element(By.XPATH, path)


def figure(some: Any, index: int, title: str, metric: str) -> float | None:
    row = some.evaluation.images[index].figures
    method, _, reference = title.partition(" − ")
    if method not in row or (reference and reference not in row):
        return None
    value = float(row[method][metric])
    return value - float(row[reference][metric]) if reference else value


def expected(some: Any, title: str, metric: str, *, descending: bool) -> list[str]:
    values = {index: figure(some, index, title, metric) for index in range(len(NAMES))}
    known = [index for index, value in values.items() if value is not None]
    known.sort(key=lambda index: values[index] or 0.0, reverse=descending)
    return [NAMES[index] for index in [*known, *(i for i in values if i not in known)]]


@pytest.mark.parametrize("metric", ["psnr", "lpips"])
def test_the_list_sorts_by_every_column_worst_first_and_then_best_first(
    page: Chrome, folder: Path, some: Any, metric: str
) -> None:
    opened(page, folder / "index.html")
    assert listed(page) == NAMES
    Select(find(page, "#metric")).select_by_value(metric)
    assert listed(page) == NAMES
    for title in ("degraded", "x_reg", "x_syn", "x_hat", "x_hat − x_reg"):
        # Low PSNR and high LPIPS are bad.
        for descending in (metric == "lpips", metric == "psnr"):
            head(page, title).click()
            assert listed(page) == expected(some, title, metric, descending=descending)
            direction = "descending" if descending else "ascending"
            assert sorted_by(page) == [[title, direction]]
            words = "worst first" if descending == (metric == "lpips") else "best first"
            assert find(page, "#order").text.endswith(words)
    head(page, "Photograph").click()
    assert listed(page) == NAMES
    head(page, "Photograph").click()
    assert listed(page) == NAMES[::-1]


def test_cells_follow_the_figure_that_was_chosen(page: Chrome, folder: Path, some: Any) -> None:
    opened(page, folder / "index.html")
    columns = ("degraded", "x_reg", "x_syn", "x_hat", "x_hat − x_reg")
    for metric, digits in (("psnr", 2), ("lpips", 4), ("psnr", 2)):
        Select(find(page, "#metric")).select_by_value(metric)
        for index in (0, 3):
            row = find(page, f"#list tbody tr[data-number='{index}']")
            cells = [cell.text for cell in row.find_elements(By.CSS_SELECTOR, "td")]
            for title, cell in zip(columns, cells, strict=True):
                value = figure(some, index, title, metric)
                sign = "+" if "−" in title else ""
                text = "–" if value is None else f"{value:{sign}.{digits}f}".replace("-", "−")
                assert cell == text
    infinite = page.find_elements(By.CSS_SELECTOR, "#list tbody tr[data-number='4'] td")
    assert [cell.text for cell in infinite[3:]] == ["∞", "+∞"]


def test_the_order_stands_in_the_address_and_goes_along_to_the_photographs(
    page: Chrome, folder: Path, some: Any
) -> None:
    opened(page, folder / "index.html")
    Select(find(page, "#metric")).select_by_value("lpips")
    head(page, "x_reg").click()
    order = expected(some, "x_reg", "lpips", descending=True)
    opened(page, folder / "index.html", page.current_url.partition("index.html")[2])
    assert listed(page) == order
    find(page, "#list tbody a").send_keys(Keys.ENTER)
    seen = []
    for _ in NAMES:
        seen.append(find(page, "h1").text)
        step = find(page, "#next")
        if step.get_attribute("href"):
            find(page, "body").send_keys("n")
    assert seen == order
    assert find(page, "#next").get_attribute("aria-disabled") == "true"
    find(page, "#previous").click()
    assert find(page, "h1").text == order[-2]
    find(page, "#all").click()
    assert listed(page) == order
    page.back()
    assert find(page, "h1").text == order[-2]


def test_the_list_shows_the_picture_that_was_chosen(page: Chrome, folder: Path) -> None:
    opened(page, folder / "index.html")
    first, fourth = "tr[data-number='0'] img", "tr[data-number='3'] img"
    assert colour(find(page, first), 0.5, 0.5) == BLUE
    assert find(page, fourth).value_of_css_property("visibility") == "hidden"
    Select(find(page, "#picture")).select_by_value("x_reg")
    page.execute_async_script("document.querySelector('#list img').decode().then(arguments[0])")
    assert colour(find(page, first), 0.5, 0.5) == YELLOW
    assert find(page, fourth).value_of_css_property("visibility") == "visible"


def test_the_slider_follows_the_mouse(page: Chrome, folder: Path) -> None:
    opened(page, folder / "denoise" / "0001-a.html")
    stage = find(page, "#stage")
    side = stage.size["width"]
    assert stage.size["height"] == side
    assert (colour(stage, 0.45), colour(stage, 0.55)) == (RED, BLUE)
    grip = find(page, "#divider")
    actions(page).click_and_hold(grip).move_by_offset(-side // 4, 30).release().perform()
    assert (colour(stage, 0.2), colour(stage, 0.3)) == (RED, BLUE)
    assert find(page, "#split").get_property("value") == "25"
    # Beyond the picture the divider stays at its edge; a click brings it back.
    actions(page).click_and_hold(grip).move_by_offset(-side // 4 - 30, 0).release().perform()
    assert find(page, "#split").get_property("value") == "0"
    actions(page).move_to_element_with_offset(stage, side // 4, 60).click().perform()
    assert (colour(stage, 0.7), colour(stage, 0.8)) == (RED, BLUE)
    # Without a button nothing moves.
    actions(page).move_to_element_with_offset(stage, -side // 4, 60).perform()
    assert find(page, "#split").get_property("value") == "75"


def test_the_slider_follows_a_finger(page: Chrome, folder: Path) -> None:
    resize(page, PHONE)
    opened(page, folder / "denoise" / "0001-a.html")
    stage = find(page, "#stage")
    box = page.execute_script("return arguments[0].getBoundingClientRect().toJSON()", stage)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": index}
            for index, (x, y) in enumerate(points)
        ]
        page.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        touch("touchStart", (0.5, 0.5))
        for x in (0.55, 0.6, 0.7, 0.8):
            touch("touchMove", (x, 0.5))
        touch("touchEnd")
        assert (colour(stage, 0.75), colour(stage, 0.85)) == (RED, BLUE)
        touch("touchStart", (0.4, 0.5), (0.6, 0.5))
        touch("touchMove", (0.3, 0.5), (0.7, 0.5))
        touch("touchEnd")
        assert find(page, "#zoom-level").text == "2×"
    finally:
        page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_the_slider_is_reached_and_moved_by_keys(page: Chrome, folder: Path) -> None:
    opened(page, folder / "denoise" / "0001-a.html")
    reached = []
    for _ in range(30):
        actions(page).send_keys(Keys.TAB).perform()
        focused = page.switch_to.active_element
        reached.append(focused.get_attribute("id"))
        outlined = find(page, ".grip") if reached[-1] == "split" else focused
        assert outlined.value_of_css_property("outline-style") == "solid"
        if reached[-1] == "zoom-fit":
            break
    assert [name for name in reached if name in ("all", "left", "right", "split", "zoom-in")] == [
        "all",
        "left",
        "right",
        "split",
        "zoom-in",
    ]
    split, stage = find(page, "#split"), find(page, "#stage")
    split.send_keys(Keys.ARROW_RIGHT * 3)
    assert split.get_property("value") == "53"
    split.send_keys(Keys.HOME)
    assert colour(stage, 0.2) == BLUE
    split.send_keys(Keys.END)
    assert colour(stage, 0.8) == RED
    assert split.get_attribute("aria-valuetext") == "100 % degraded, 0 % x_hat"
    assert split.accessible_name == "Share of the left picture"
    assert split.aria_role == "slider"


def test_any_two_pictures_can_be_compared_and_stay_chosen(page: Chrome, folder: Path) -> None:
    opened(page, folder / "denoise" / "0001-a.html")
    stage = find(page, "#stage")
    Select(find(page, "#left")).select_by_visible_text("x_reg")
    Select(find(page, "#right")).select_by_visible_text("clean")
    assert (colour(stage, 0.2), colour(stage, 0.8)) == (YELLOW, GREEN)
    find(page, "#swap").click()
    assert (colour(stage, 0.2), colour(stage, 0.8)) == (GREEN, YELLOW)
    assert find(page, "#left-picture").get_attribute("alt") == "clean of a.png"
    find(page, "#next").click()
    assert find(page, "h1").text == NAMES[1]
    stage = find(page, "#stage")
    assert (colour(stage, 0.2), colour(stage, 0.8)) == (GREEN, YELLOW)
    # A letter picks from a list of choices and does not turn the page.
    find(page, "#left").send_keys("s")
    assert find(page, "#right").get_property("value") == "x_reg"
    # A photograph without the picture shows another.
    opened(page, folder / "denoise" / "0004-f.html", "#left=x_hat&right=x_syn")
    assert find(page, "#left").get_property("value") == "degraded"
    assert find(page, "#right").get_property("value") == "x_syn"


@pytest.fixture(scope="module")
def chequered(made: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page whose pictures are black and white pixel by pixel, white in the upper left corner."""
    some = made(["a.png"], methods=["degraded", "x_hat"])
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    pattern = ((rows + columns + 1) % 2).float().expand(3, -1, -1)
    some.images = [dict.fromkeys(some.images[0], pattern)]
    path = tmp_path_factory.mktemp("chequered") / "report"
    some.write(path)
    return path / "denoise" / "0001-a.html"


def squares(stage: WebElement) -> tuple[int, set[int]]:
    """How many squares a line at the top of the stage crosses, and its grey levels."""
    line = pixels(stage)[6, :, 0].astype(int)
    return 1 + int((np.abs(np.diff(line)) > 128).sum()), set(line.tolist())


def test_zoom_keeps_pixels_as_they_are(page: Chrome, chequered: Path) -> None:
    opened(page, chequered)
    stage, split = find(page, "#stage"), find(page, "#split")
    split.send_keys(Keys.END)
    actions(page).move_to_element(find(page, "h1")).perform()
    assert stage.size["width"] % 16 == 0  # all pixels are equally large
    assert squares(stage)[0] in (16, 17)  # the divider stands at the edge
    assert len(squares(stage)[1]) <= 4
    for _ in range(4):
        find(page, "#zoom-in").click()
    assert find(page, "#zoom-level").text == "5.1×"
    assert squares(stage)[0] in (4, 5, 6)
    assert len(squares(stage)[1]) <= 5
    find(page, "#zoom-fit").click()
    assert find(page, "#zoom-level").text == "1×"
    assert find(page, "#zoom-out").get_property("disabled")
    for _ in range(9):
        find(page, "body").send_keys("+")
    assert find(page, "#zoom-level").text == "16×"
    assert find(page, "#zoom-in").get_property("disabled")
    find(page, "body").send_keys("-")
    assert find(page, "#zoom-level").text == "10.7×"
    find(page, "body").send_keys("0")
    assert find(page, "#zoom-level").text == "1×"


def test_the_wheel_zooms_where_the_mouse_is_and_drags_and_keys_pan(
    page: Chrome, chequered: Path
) -> None:
    opened(page, chequered)
    stage, split = find(page, "#stage"), find(page, "#split")
    split.send_keys(Keys.HOME)
    side = stage.size["width"]
    corner = ScrollOrigin.from_element(stage, -side // 2 + 2, -side // 2 + 2)
    actions(page).scroll_from_origin(corner, 0, -960).perform()
    page.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    assert find(page, "#zoom-level").text == "16×"
    white, black = (255, 255, 255), (0, 0, 0)
    assert colour(stage, 0.5, 0.5) == white  # the pixel in the corner fills the stage
    # To the next pixel, and back.
    actions(page).move_to_element_with_offset(stage, side // 4, 0).click_and_hold().move_by_offset(
        -side // 2, 0
    ).release().perform()
    assert (colour(stage, 0.25, 0.5), colour(stage, 0.75, 0.5)) == (white, black)
    assert split.get_property("value") == "0"
    for _ in range(5):
        actions(page).key_down(Keys.SHIFT).send_keys(Keys.ARROW_LEFT).key_up(Keys.SHIFT).perform()
    assert colour(stage, 0.75, 0.5) == white
    assert split.get_property("value") == "0"
    # No picture is ever dragged out of the stage.
    actions(page).click_and_hold(stage).move_by_offset(side // 3, side // 3).release().perform()
    assert (colour(stage, 0.1, 0.5), colour(stage, 0.5, 0.1)) == (white, white)
    # On an enlarged picture, too, the divider can be dragged.
    find(page, "#zoom-fit").click()
    find(page, "#zoom-in").click()
    grip = find(page, "#divider")
    actions(page).move_to_element_with_offset(grip, 10, 0).click_and_hold().move_by_offset(
        side // 4, 0
    ).release().perform()
    assert int(str(split.get_property("value"))) in range(24, 29)


@pytest.fixture(scope="module")
def compared(made: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on two tasks, with many methods of long names."""
    long = ["degraded", "x_reg", "x_hat", "w" * 60, "a method with a name of many words", "f", "g"]
    tasks = [made(["a.png"], title=title, methods=long, side=170) for title in ("one", "two")]
    path = tmp_path_factory.mktemp("compared") / "report"
    with HtmlReport(path, "a comparison_of_" + "many" * 20) as report:
        for task in tasks:
            task.keep(report)
        report.finish(Comparison("c", tuple(task.evaluation for task in tasks), {"seed": "0"}))
    return path


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("dark", [False, True])
def test_pages_fit_their_window(
    page: Chrome, folder: Path, compared: Path, size: tuple[int, int], dark: bool
) -> None:
    resize(page, size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    for path in (
        folder / "index.html",
        folder / "denoise" / "0003-d-e.html",
        compared / "index.html",
        compared / "one" / "index.html",
        compared / "two" / "0001-a.html",
    ):
        opened(page, path)
        assert overflow(page) == 0, path
        background = page.execute_script(
            "return getComputedStyle(document.documentElement).backgroundColor"
        )
        assert background == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
    stage = find(page, "#stage")
    assert stage.size["width"] <= size[0]
    assert stage.size["width"] == stage.size["height"]
    assert stage.size["height"] <= size[1]


def test_a_turned_phone_shows_the_whole_picture(page: Chrome, compared: Path) -> None:
    resize(page, (740, 360))
    opened(page, compared / "one" / "0001-a.html")
    resize(page, PHONE)
    assert overflow(page) == 0
    assert find(page, "#stage").size["width"] <= 360


def test_controls_have_names(page: Chrome, folder: Path) -> None:
    for path in (folder / "index.html", folder / "denoise" / "0001-a.html"):
        opened(page, path)
        controls = page.find_elements(By.CSS_SELECTOR, "button, select, a, input")
        assert [one.get_attribute("outerHTML") for one in controls if not one.accessible_name] == []
        assert page.find_elements(By.CSS_SELECTOR, "img:not([alt])") == []


def test_a_report_of_500_photographs_is_quick(page: Chrome, made: Make, tmp_path: Path) -> None:
    count = 500
    some = made([f"{index}.png" for index in range(count)], methods=["degraded"], side=8)
    started = time.perf_counter()
    some.write(tmp_path / "report")
    assert time.perf_counter() - started < 60
    started = time.perf_counter()
    opened(page, tmp_path / "report" / "index.html")
    head(page, "degraded").click()
    assert time.perf_counter() - started < 15
    values = [some.evaluation.images[index].figures["degraded"]["psnr"] for index in range(count)]
    assert listed(page) == [f"{index}.png" for index in np.argsort(values, kind="stable")]
    loaded = page.execute_script(
        "return [...document.querySelectorAll('#list img')].filter((one) => one.complete).length"
    )
    assert 0 < loaded < count / 2
