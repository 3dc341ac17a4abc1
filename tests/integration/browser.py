"""A headless Chromium, driven by its own protocol over a loopback socket."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketClientConnection, websocket_connect

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
PATIENCE = 60.0  # s


def browser() -> str | None:
    """Path of a Chromium, None where there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


class Page:
    """One page of a browser that remembers what was requested and what was complained of."""

    def __init__(self, profile: Path) -> None:
        path = browser()
        assert path is not None
        self._process = subprocess.Popen(
            [
                path, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                "--enable-unsafe-swiftshader", "--disable-dev-shm-usage", "--no-first-run",
                "--disable-background-networking", "--disable-component-update",
                "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank",
            ],
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._ids = itertools.count(1)
        self._loop = IOLoop(make_current=False)
        try:
            self._socket = self._connect(profile / "DevToolsActivePort")
        except BaseException:
            self._end()
            raise
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def _connect(self, port_file: Path) -> WebSocketClientConnection:
        end = time.monotonic() + PATIENCE
        while not port_file.is_file() or not port_file.read_text().strip():
            assert time.monotonic() < end, "the browser did not start"
            time.sleep(0.1)
        port = port_file.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            targets = json.load(answer)
        url = next(t["webSocketDebuggerUrl"] for t in targets if t["type"] == "page")

        async def connect() -> WebSocketClientConnection:
            return await websocket_connect(url, max_message_size=200_000_000)

        return self._loop.run_sync(connect, timeout=PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        async def leave() -> None:
            self._socket.close()
            await asyncio.sleep(0.05)  # lets what was closed go

        try:
            self._loop.run_sync(leave, timeout=5)
        finally:
            self._loop.close()
            self._end()

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its answer."""
        number = next(self._ids)
        message = json.dumps({"id": number, "method": method, "params": parameters})

        async def exchange() -> dict[str, Any]:
            await self._socket.write_message(message)
            while True:
                text = await self._socket.read_message()
                assert text is not None, "the browser has gone"
                answer = json.loads(text)
                if answer.get("id") == number:
                    assert "error" not in answer, answer
                    return answer["result"]
                self._note(answer)

        return self._loop.run_sync(exchange, timeout=PATIENCE)

    def _note(self, event: dict[str, Any]) -> None:
        given = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(given["request"]["url"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(given["exceptionDetails"].get("exception", given)))
        elif event.get("method") == "Runtime.consoleAPICalled" and given["type"] == "error":
            self.complaints.append(str(given["args"]))
        elif event.get("method") == "Log.entryAdded" and given["entry"]["level"] == "error":
            self.complaints.append(given["entry"]["text"])

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, a promise's when it is kept."""
        found = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def open(self, page: Path | str, *, width: int, height: int = 900, dark: bool = False) -> None:
        """Show a file, or an address, at a width [px] and wait until its script has run."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url="about:blank")  # another fragment alone loads nothing
        url = page.resolve().as_uri() if isinstance(page, Path) else page
        self.call("Page.navigate", url=url)
        end = time.monotonic() + PATIENCE
        while not self.evaluate("document.documentElement?.dataset.ready || ''"):
            assert time.monotonic() < end, f"the page's script did not end: {self.complaints}"
            time.sleep(0.1)

    def shoot(self, target: Path) -> None:
        """Write a picture of the whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        found = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        target.write_bytes(base64.b64decode(found["data"]))

    def serious(self) -> list[Any]:
        """What axe finds serious or critical; it must have checked something."""
        self.evaluate(AXE.read_text(encoding="utf-8") + "; null")
        found = json.loads(self.evaluate("axe.run().then(found => JSON.stringify(found))"))
        assert len(found["passes"]) > 10
        return [
            (violation["id"], violation["nodes"][0]["html"])
            for violation in found["violations"]
            if violation["impact"] in ("serious", "critical")
        ]
