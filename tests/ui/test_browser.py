"""``ugpnet ui`` in a real browser: real uploads, real downloads, also on a telephone's width."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from ugpnet_core import cli
from ugpnet_core.image import read_image, write_image
from ugpnet_core.ui.serving import served

if TYPE_CHECKING:
    from selenium import webdriver

CSS = "css selector"
PATIENCE = 60.0


@pytest.fixture(scope="module")
def address(tiny: Path) -> Iterator[str]:
    """Of a page that takes a megabyte and 0.1 megapixels."""
    with served([str(tiny)], str(tiny), megabytes=1, megapixels=0.1) as found:
        yield found


class Page:
    """What a person does with the page."""

    def __init__(self, browser: webdriver.Chrome, address: str, downloads: Path) -> None:
        self.browser = browser
        self.downloads = downloads
        browser.get_log("browser")
        settings = {"behavior": "allow", "downloadPath": str(downloads)}
        browser.execute_cdp_cmd("Page.setDownloadBehavior", settings)
        browser.get(address)
        self.until(lambda: self.find("#photo input[type=file]"))

    def find(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements(CSS, selector))

    def text(self, selector: str) -> str:
        return " ".join(one.text for one in self.find(selector))

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, self.text("body")
            time.sleep(0.1)

    def drop(self, file: Path) -> None:
        self.find("#photo input[type=file]")[0].send_keys(str(file))

    def restore(self, file: Path) -> None:
        self.drop(file)
        self.until(lambda: file.stem in self.text("#photo"))
        self.find("#go")[0].click()

    def sizes(self, selector: str) -> list[tuple[int, int]]:
        """Of pictures that are there, as the browser has decoded them."""
        pair = "[arguments[0].naturalWidth, arguments[0].naturalHeight]"
        found = [self.browser.execute_script(f"return {pair}", one) for one in self.find(selector)]
        return [(width, height) for width, height in found if width]

    def download(self) -> Path:
        self.until(lambda: "_restored" in self.text("#download"))
        self.find("#download")[0].click()
        self.until(lambda: [one for one in self.downloads.iterdir() if one.suffix == ".png"])
        (file,) = self.downloads.iterdir()
        return file

    def complaints(self) -> list[str]:
        log: Any = self.browser.get_log("browser")
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]


@pytest.fixture
def page(browser: webdriver.Chrome, address: str, tmp_path: Path) -> Iterator[Page]:
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    browser.set_window_size(1000, 1200)
    yield Page(browser, address, downloads)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.fixture
def photo(slopes: Tensor, tmp_path: Path) -> Path:
    path = tmp_path / "Großmutter 1950.png"
    write_image(path, slopes, bit_depth=16)
    return path


@pytest.mark.parametrize("telephone", [False, True], ids=["wide", "telephone"])
def test_from_dropping_to_downloading(page: Page, photo: Path, telephone: bool) -> None:
    if telephone:
        small = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
        page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", small)
    page.restore(photo)
    page.until(lambda: len(page.sizes("#slider img")) >= 2)
    assert set(page.sizes("#slider img")) == {(71, 45)}
    assert "71x45 pixels." in page.text("#words")
    file = page.download()
    assert "_restored" in file.name
    made = read_image(file)
    assert made.pixels.shape == (3, 45, 71)
    assert made.bit_depth == 16
    page.find("button.label-wrap")[0].click()
    for part in ("#x_reg", "#x_syn"):
        page.until(lambda part=part: page.sizes(f"{part} img") == [(71, 45)])  # type: ignore[misc]
    width, inner = page.browser.execute_script(
        "return [document.documentElement.scrollWidth, innerWidth]"
    )
    assert width <= inner
    # Nothing was asked of another machine: that would have failed, and be complained of.
    assert page.complaints() == []


def test_errors_are_words(page: Page, tmp_path: Path) -> None:
    page.find("#go")[0].click()
    page.until(lambda: "Choose a photograph first" in page.text("body"))
    fake = tmp_path / "letter.png"
    fake.write_text("Dear grandmother,")
    page.restore(fake)
    page.until(lambda: "letter.png is not an image" in page.text("body"))
    large = tmp_path / "large.png"
    Image.new("RGB", (500, 400)).save(large)
    page.browser.refresh()
    page.until(lambda: page.find("#photo input[type=file]"))
    page.restore(large)
    page.until(lambda: "0.2 megapixels and this page takes up to 0.1" in page.text("body"))
    assert "Traceback" not in page.text("body")
    assert str(tmp_path) not in page.text("body")


def test_a_file_that_is_too_large_is_refused(page: Page, tmp_path: Path) -> None:
    noise = tmp_path / "noise.png"
    write_image(noise, torch.rand(3, 700, 700))
    assert noise.stat().st_size > 2**20
    page.drop(noise)
    page.until(lambda: "maximum" in page.text("body").lower())
    page.find("#go")[0].click()
    page.until(lambda: "Choose a photograph first" in page.text("body"))


def test_only_this_machine_gets_in(address: str) -> None:
    assert address.startswith("http://127.0.0.1:")
    port = int(address.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass
    # All of 127.0.0.0/8 is this machine; a server that listens to everybody answers there, too.
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", port), timeout=5)
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"


def test_the_command(
    tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: object) -> None:
        raise KeyboardInterrupt

    opened: list[str] = []
    monkeypatch.setattr("threading.Event.wait", interrupted)
    monkeypatch.setattr("typer.launch", opened.append)
    monkeypatch.setattr("ugpnet_core.ui.serving.served", _nothing)
    assert cli.main(["ui", "-m", str(tiny)]) == 130
    assert "The page is at http://127.0.0.1:1" in capsys.readouterr().out
    assert opened == ["http://127.0.0.1:1"]
    assert cli.main(["ui", "-m", str(tiny), "--host", "0.0.0.0", "--no-open"]) == 130
    assert "other machines can reach it" in capsys.readouterr().out
    assert len(opened) == 1
    assert cli.main(["ui", "-m", "nothing-of-this-name"]) == 2


class _nothing:
    """In the place of a server."""

    def __init__(self, *arguments: object, **settings: object) -> None: ...

    def __enter__(self) -> str:
        return "http://127.0.0.1:1"

    def __exit__(self, *error: object) -> None: ...
