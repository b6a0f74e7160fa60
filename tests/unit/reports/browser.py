"""A headless Chromium for tests, driven through chromedriver: `with Browser(folder) as browser: browser.open(path)`."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import requests

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
WHY_NOT = "needs Chromium and its driver: apt-get install chromium chromium-driver"
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def _started_driver() -> tuple[subprocess.Popen[str], int]:
    """Return a chromedriver and its port.

    It takes a free port of IPv4 and ends when somebody has the same one of IPv6: then another is tried.
    """
    said: list[str] = []
    for _ in range(5):
        driver = subprocess.Popen(
            [str(DRIVER), "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert driver.stdout is not None
        for line in driver.stdout:
            found = re.search(r"started successfully on port (\d+)", line)
            if found:
                return driver, int(found.group(1))
            said.append(line)
        driver.stdout.close()
        driver.wait()
    raise RuntimeError(f"chromedriver did not start: {''.join(said)}")


_PATIENCE = 30  # seconds for a page


class Browser:
    """One browser with a profile of its own in folder; ended at the end of the block."""

    def __init__(self, folder: Path) -> None:
        if CHROMIUM is None or DRIVER is None:
            raise RuntimeError(WHY_NOT)
        self._driver, port = _started_driver()
        self._http = requests.Session()
        self._http.trust_env = False
        try:
            options = {"binary": CHROMIUM, "args": [*_FLAGS, f"--user-data-dir={folder / 'profile'}"]}
            wanted = {
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            }
            self._base = f"http://127.0.0.1:{port}/session"
            began = self._post("", {"capabilities": {"alwaysMatch": wanted}})
            self._base += "/" + began["sessionId"]
        except BaseException:
            self._end()
            raise

    def _post(self, command: str, body: dict[str, Any]) -> Any:
        answer = self._http.post(self._base + command, json=body, timeout=60)
        value = answer.json()["value"]
        assert answer.ok, value
        return value

    def devtools(self, command: str, **parameters: Any) -> Any:
        """Send a command of the DevTools protocol and return its answer."""
        return self._post("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def look(self, width: int, dark: bool = False, height: int = 800) -> None:
        """Show pages from now on as a screen of width CSS pixels does."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", media="", features=[theme])

    def open(self, page: Path) -> None:
        """Load a local page; the logs begin anew."""
        self.requests()
        self.complaints()
        self._post("/url", {"url": page.as_uri()})
        deadline = time.monotonic() + _PATIENCE
        while self.ask("document.readyState === 'complete' && location.href") != page.as_uri():
            assert time.monotonic() < deadline, (
                f"{page} is not loaded"
            )  # the driver may answer before a slow page is
            time.sleep(0.02)

    def ask(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        return self._post("/execute/sync", {"script": f"return {expression}", "args": []})

    def complaints(self) -> list[str]:
        """Return what the console has shown since the last call."""
        return [entry["message"] for entry in self._post("/se/log", {"type": "browser"})]

    def requests(self) -> list[str]:
        """Return the URLs requested since the last call, without the browser's own and those that are their content."""
        sent = []
        for entry in self._post("/se/log", {"type": "performance"}):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                sent.append(message["params"]["request"]["url"])
        return [url for url in sent if not url.startswith(("data:", "chrome:", "chrome-untrusted:"))]

    def picture(self, file: Path, height: int | None = None) -> None:
        """Save the page as PNG, whole or its first height CSS pixels."""
        size = self.devtools("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
        shot = self.devtools("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(shot["data"]))

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._http.delete(self._base, timeout=60)
        finally:
            self._end()

    def _end(self) -> None:
        self._http.close()
        self._driver.terminate()
        self._driver.wait()
        if self._driver.stdout is not None:
            self._driver.stdout.close()
