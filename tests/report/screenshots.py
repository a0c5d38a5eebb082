"""Pictures of a report: `python tests/report/screenshots.py runs/demo/report.html docs/img`."""

from __future__ import annotations

import base64
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

CHROME = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1280,900",
)
WIDTH = 1180


def chromium(profile: Path) -> Any:
    """A headless browser with a profile of its own that keeps a log of messages and requests."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROME or ""
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))


def save(
    browser: Any, path: Path, *, start: str, end: str, dark: bool = False, scale: float = 1
) -> None:
    """Write the part of the page from the top of element `start` to the bottom of element `end`."""
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    size = {"width": WIDTH, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    top, bottom = browser.execute_script(
        "const at = (css, side) => document.querySelector(css).getBoundingClientRect()[side];"
        "return [at(arguments[0], 'top') + scrollY, at(arguments[1], 'bottom') + scrollY]",
        start,
        end,
    )
    clip = {"x": 0, "y": top, "width": WIDTH, "height": bottom - top + 10, "scale": scale}
    options = {"format": "png", "captureBeyondViewport": True, "clip": clip}
    made = browser.execute_cdp_cmd("Page.captureScreenshot", options)
    path.write_bytes(base64.b64decode(made["data"]))


def main(page: Path, folder: Path) -> None:
    """The head with the funnel and the overlap table, the training in the dark, the inspector."""
    with tempfile.TemporaryDirectory() as profile:
        browser = chromium(Path(profile))
        browser.get(page.resolve().as_uri())
        save(browser, folder / "report.png", start="body", end="#overlap .pairs")
        save(browser, folder / "report-dark.png", start="#training", end="#training", dark=True)
        browser.execute_script("document.querySelectorAll('#list li')[2].click()")
        save(
            browser,
            folder / "report-inspector.png",
            start="#inspector",
            end="#inspector",
            scale=0.8,
        )
        browser.quit()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
