"""Headless Chromium, as the tests of pages use it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SOFTWARE = ("GPU stall due to ReadPixels", "Canvas2D: Multiple readback operations")
"""What Chromium says of WebGL without a graphics card, and of the canvas on which plotly.js measures its letters."""


class Browser:
    """A page of 1400 by 900 pixels."""

    def __init__(self, webgl: bool) -> None:
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM or ""
        flags = [
            "--headless=new",
            "--window-size=1400,1000",
            "--force-device-scale-factor=1",
            "--disable-dev-shm-usage",
        ]
        flags += ["--no-sandbox"] if os.geteuid() == 0 else []
        flags += ["--enable-unsafe-swiftshader"] if webgl else ["--disable-gpu", "--disable-3d-apis"]
        for flag in flags:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        self.driver.set_script_timeout(120)

    def open(self, place: Path, width: int = 1400, dark: bool = False) -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        wishes = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get(place.as_uri())

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str, *arguments: object) -> Any:
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, 60).until(lambda driver: driver.execute_script(script, *arguments))

    def show_all(self) -> None:
        """Scroll through the page until everything is drawn."""
        for element in self.driver.find_elements("css selector", ".plot"):
            self.run("arguments[0].scrollIntoView({behavior: 'instant', block: 'center'})", element)
            self.until("return arguments[0].classList.contains('js-plotly-plot')", element)

    def press(self, element: Any, *keys: str) -> None:
        self.run("arguments[0].focus()", element)
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def complaints(self) -> list[str]:
        said = [entry["message"] for entry in self.driver.get_log("browser")]
        return [message for message in said if not any(words in message for words in SOFTWARE)]

    def requests(self) -> list[str]:
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        asked = [each["request"]["url"] for each in sent]
        asked += [event["params"]["url"] for event in events if event["method"] == "Network.webSocketCreated"]
        return [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
