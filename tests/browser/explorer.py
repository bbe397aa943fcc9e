"""The Explorer as its reader has it: one command, an address, and a real Chromium on it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from deploy.local.process import LEASH
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from tests.needed import lacking

PATIENCE_S = 120.0
T = TypeVar("T")
LAPTOP, PHONE = (1280, 800), (390, 844)
PAGES = ("Overview", "Segment", "Map", "Customer", "What if", "Model")
QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--enable-unsafe-swiftshader",
)  # fmt: skip


@contextmanager
def exploring(*options: str, key: str = "") -> Iterator[str]:
    """Start `segstream explore`; yields the address that it prints."""
    command = [*LEASH, sys.executable, "-m", "segstream", "explore", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"SEGSTREAM_KEY": key},
    ) as running:  # fmt: skip
        try:
            assert running.stdout is not None
            line = running.stdout.readline()
            assert line.startswith("Segment Explorer: http://127.0.0.1:"), running.communicate()
            yield line.split()[2]
        finally:
            running.send_signal(signal.SIGINT)
            _, told = running.communicate(timeout=PATIENCE_S)
            assert "Traceback" not in told, told


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody at a browser.

    Attributes
    ----------
    size
        Of the window, pixels.
    """

    driver: Chrome
    size: tuple[int, int]

    def open(self, url: str) -> float:
        """Open an address; returns the seconds until its page stood there."""
        begun = time.monotonic()
        self.driver.get(url)
        self.wait_for("h1")
        return time.monotonic() - begun

    def go(self, page: str) -> None:
        """Choose a page in the navigation."""
        link = self.until(lambda: self._link(page))
        link.click()
        self.until(lambda: self._shown(page))
        self.settle()

    def _shown(self, page: str) -> bool:
        """Whether a page's script has begun to draw: its figures replace the former page's."""
        path = "" if page == "Overview" else page.lower().replace(" ", "-")
        there = self.driver.current_url.rstrip("/").rpartition("/")[2]
        on_it = there == path if path else ":" in there
        return on_it and bool(self.driver.find_elements(By.CSS_SELECTOR, ".js-plotly-plot"))

    def _link(self, page: str) -> WebElement | None:
        links = self.driver.find_elements(By.CSS_SELECTOR, "a[data-testid=stPageLink-NavLink]")
        return next((a for a in links if page in a.text), None)

    def settle(self) -> None:
        """Wait until the script has drawn all that it draws."""
        self.until(lambda: not self.driver.find_elements(
            By.CSS_SELECTOR, "[data-testid=stStatusWidget], [data-testid=stSpinner], "
                             "[data-testid=stSkeleton], [data-stale=true]"))  # fmt: skip
        time.sleep(1.0)  # a figure is drawn after its script

    def wait_for(self, selector: str) -> WebElement:
        """Wait for something to be there."""
        return self.until(
            lambda: next(iter(self.driver.find_elements(By.CSS_SELECTOR, selector)), None)
        )

    def until(self, holds: Callable[[], T | None]) -> T:
        """Wait for a condition, and return what it returned."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := holds()):
            assert time.monotonic() < deadline, self.text()[:2000]
            time.sleep(0.05)
        return found

    def text(self) -> str:
        """All that the page says."""
        found = self.driver.execute_script(
            "const m = document.querySelector('[data-testid=stMain]');"
            "return m ? m.innerText : document.body.innerText"
        )
        return str(found)

    def type_into(self, label: str, value: str) -> None:
        """Put a value into the field of a label."""
        field = self.wait_for(f'input[aria-label="{label}"]')
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(value, Keys.ENTER)

    def press(self, label: str) -> None:
        """Click a button."""
        button = self.until(lambda: next(
            (b for b in self.driver.find_elements(By.CSS_SELECTOR, "button")
             if b.text.strip() == label and b.is_enabled()), None))  # fmt: skip
        self.driver.execute_script("arguments[0].click()", button)

    def check_drawn(self, page: str) -> None:
        """Assert that the page shown has a figure, no word of a failure, and fits its window."""
        assert "The API" not in self.text()
        assert self.driver.find_elements("css selector", ".js-plotly-plot"), page
        assert self.overflow() == 0, page

    def overflow(self) -> int:
        """Pixels that the page is wider than its window."""
        wide = self.driver.execute_script(
            "const m = document.querySelector('[data-testid=stMain]');"
            "return m.scrollWidth - m.clientWidth"
        )
        return int(wide)

    def picture(self, path: Path) -> None:
        """Keep the whole page as a picture."""
        height = self.driver.execute_script(
            "const m = document.querySelector('[data-testid=stMainBlockContainer]');"
            "return m.scrollHeight + 20"
        )
        self.resize(max(int(height), self.size[1]))
        time.sleep(0.5)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(path))
        self.resize(self.size[1])

    def resize(self, height: int) -> None:
        """Set the window's size as a device has it."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": self.size[0], "height": height, "deviceScaleFactor": 1,
             "mobile": self.size == PHONE},
        )  # fmt: skip

    def complaints(self) -> list[str]:
        """Errors of the console since it was asked last."""
        return [e["message"] for e in self._log("browser") if e["level"] == "SEVERE"]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        """Entries since it was asked last; Selenium gives this method no types."""
        found: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        return found

    def asked(self) -> set[str]:
        """Hosts that were asked for anything since it was asked last."""
        hosts = set()
        for entry in self._log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                if url.startswith(("http:", "https:", "ws:", "wss:")):
                    hosts.add(url.split("/")[2].partition(":")[0])
        return hosts


@contextmanager
def reading(size: tuple[int, int]) -> Iterator[Reader]:
    """Start Debian's Chromium with its own driver; nothing is downloaded."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        lacking("chromium or chromedriver is missing")
    options = ChromeOptions()
    options.binary_location = chromium
    for option in QUIET:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = Chrome(options=options, service=Service(driver))
    try:
        reader = Reader(chrome, size)
        reader.resize(size[1])
        yield reader
    finally:
        chrome.quit()


def pictures(tmp_path: Path) -> Path:
    """Where screenshots are kept: $SEGSTREAM_SCREENSHOTS, else the test's own folder."""
    return Path(os.environ.get("SEGSTREAM_SCREENSHOTS") or tmp_path)
