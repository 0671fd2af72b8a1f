"""Chromium, controlled through its debugging pipe: it opens pages, fills in forms, clicks and takes screenshots."""

import base64
import json
import os
import shutil
import subprocess
from contextlib import contextmanager

from waiting import wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-extensions",
)


@contextmanager
def browsing(directory):
    """A browser with one page, whose profile is stored in the given directory."""
    to_read, to_write = os.pipe(), os.pipe()
    command = [CHROMIUM, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={directory}", "about:blank"]

    def as_expected():  # the browser reads from descriptor 3 and writes to descriptor 4
        os.dup2(to_read[0], 103)
        os.dup2(to_write[1], 104)
        os.dup2(103, 3)
        os.dup2(104, 4)

    process = subprocess.Popen(
        command,
        preexec_fn=as_expected,  # noqa: PLW1509 - the function only duplicates descriptors
        close_fds=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read[0])
    os.close(to_write[1])
    try:
        yield Browser(to_read[1], to_write[0])
    finally:
        os.close(to_read[1])
        os.close(to_write[0])
        process.terminate()
        process.wait(20)


class Browser:
    def __init__(self, to, from_):
        self._to, self._from = to, from_
        self._buffer, self._number = b"", 0
        self.events = []
        target = self._ask("Target.createTarget", {"url": "about:blank"}, session=None)["targetId"]
        attached = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True}, session=None)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    def open(self, url):
        self._ask("Page.navigate", {"url": url})
        self.settle()

    def settle(self):
        """Wait until the page and its style sheets are loaded."""
        wait_until(lambda: self.run("document.readyState") == "complete", 30, 0.05)

    def run(self, code):
        """The value of a JavaScript expression in the page."""
        found = self._ask("Runtime.evaluate", {"expression": code, "returnByValue": True, "awaitPromise": True})
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def fill(self, selector, text):
        """Insert text into a field as if it were typed."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self._ask("Input.insertText", {"text": text})

    def press(self, key, code=0):
        for kind in ("keyDown", "keyUp"):
            text = {"Enter": "\r"}.get(key, "") if kind == "keyDown" else ""
            named = {"key": key, "code": key, "windowsVirtualKeyCode": code, "text": text}
            self._ask("Input.dispatchKeyEvent", {"type": kind, **named})

    def click(self, selector):
        """Click on an element, and wait for the next page."""
        self.run("window.before = true")
        self.run(f"document.querySelector({json.dumps(selector)}).click()")
        wait_until(lambda: self.run("window.before !== true && document.readyState === 'complete'"), 30, 0.05)

    def look(self, path, width=1280, height=900, *, dark=False, whole=True):
        """Take a screenshot of the page at the given width."""
        self.resize(width, height, dark=dark)
        self.run("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))")
        shot = self._ask("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole})
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))

    def resize(self, width, height=900, *, dark=False):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._ask("Emulation.setDeviceMetricsOverride", metrics)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._ask("Emulation.setEmulatedMedia", {"features": scheme})

    def scripting(self, *, on):
        self._ask("Emulation.setScriptExecutionDisabled", {"value": not on})

    def complaints(self):
        """Messages in the browser's console, such as errors and refused styles and scripts, but not failed requests."""
        self.run("0")
        found = [each["params"]["entry"] for each in self.events if each["method"] == "Log.entryAdded"]
        return [each["text"] for each in found if each["source"] != "network"]

    def _ask(self, method, params=None, session=...):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params or {}}
        if session is ...:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def _next(self):
        while b"\0" not in self._buffer:
            piece = os.read(self._from, 1 << 20)
            assert piece, "the browser has ended"
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)
