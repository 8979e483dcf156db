"""Chromium without a window, driven as its own developer tools drive it.

What a page does wrong (an exception, a request, something its policy refuses) is collected and
has to be empty at the end of a test.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)
AT_MOST_S = 60.0  # for what takes moments; a machine may be busy


def chromium() -> str:
    """Its path. Where it has to be there, a test without it fails."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        why = "no Chromium is installed; on Debian: apt-get install chromium"
        if os.environ.get("CI") or os.environ.get("REQUIRE_CHROMIUM"):
            pytest.fail(why)
        pytest.skip(why)
    return path


class Tab:
    """One page."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._session = self._target = ""
        self._count = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self.wrongs: list[str] = []
        self.requests: list[str] = []

    async def open(self, url: str, *, width: int = 1280, height: int = 900) -> None:
        self._loaded.clear()
        await self.call("Emulation.setDeviceMetricsOverride", **_metrics(width, height))
        await self.call("Page.navigate", url=url)
        await asyncio.wait_for(self._loaded.wait(), AT_MOST_S)

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        answer = asyncio.get_running_loop().create_future()
        self._answers[self._count] = answer
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        await self._socket.send(json.dumps(message))
        result: dict[str, Any] = await asyncio.wait_for(answer, AT_MOST_S)
        return result

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression comes to, promises waited for."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait for a JavaScript condition, looked at with every frame that is drawn."""
        await self.value(
            "new Promise((done) => { const look = () => "
            f"({condition}) ? done(true) : requestAnimationFrame(look); look(); }})"
        )

    async def click(self, selector: str, x: float | None = None, y: float | None = None) -> None:
        """A click as of a mouse; by default in the middle of what is selected."""
        await self.value(
            f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})"
        )
        x, y = await self.point(selector, x, y)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            await self.mouse(kind, x, y)

    async def point(
        self, selector: str, x: float | None = None, y: float | None = None
    ) -> tuple[float, float]:
        """In the window, of a point in an element."""
        left, top, width, height = await self.value(
            f"(() => {{ const b = document.querySelector({selector!r}).getBoundingClientRect();"
            "return [b.left, b.top, b.width, b.height]; })()"
        )
        return left + (width / 2 if x is None else x), top + (height / 2 if y is None else y)

    async def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        pressed = {} if kind in ("mouseMoved", "mouseWheel") else {"button": "left"}
        await self.call(
            "Input.dispatchMouseEvent", type=kind, x=x, y=y, **{"clickCount": 1, **pressed, **more}
        )

    async def press(self, key: str, *, text: str = "") -> None:
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, text=text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    async def picture(self) -> bytes:
        """What is seen, as PNG."""
        answer = await self.call("Page.captureScreenshot")
        return base64.b64decode(answer["data"])

    async def begin(self) -> None:
        target = await self.call("Target.createTarget", url="about:blank")
        self._target = target["targetId"]
        attached = await self.call("Target.attachToTarget", flatten=True, targetId=self._target)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")

    async def end(self) -> None:
        self._session = ""
        await self.call("Target.closeTarget", targetId=self._target)

    async def read(self) -> None:
        async for raw in self._socket:
            message = json.loads(raw)
            if "id" in message:
                answer = self._answers.pop(message["id"])
                if "error" in message:
                    answer.set_exception(RuntimeError(str(message["error"])))
                else:
                    answer.set_result(message["result"])
            else:
                self._happened(message["method"], message["params"])

    def _happened(self, method: str, told: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Runtime.exceptionThrown":
            self.wrongs.append(str(told["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.wrongs.append(str(told["entry"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[str]:
    """The address of a browser that keeps what it writes in ``folder``."""
    process = subprocess.Popen(
        [chromium(), *FLAGS, f"--user-data-dir={folder}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield _address(process)
        finally:
            process.kill()


@contextlib.asynccontextmanager
async def tab(address: str) -> AsyncIterator[Tab]:
    """A new page in a browser."""
    async with connect(address, max_size=None) as socket:
        page = Tab(socket)
        reading = asyncio.create_task(page.read())
        try:
            await page.begin()
            yield page
            await page.end()
        finally:
            reading.cancel()


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("DevTools listening on "):
            return line.split()[-1]
    raise AssertionError(f"Chromium did not start: {''.join(said)}")


def _metrics(width: int, height: int) -> dict[str, Any]:
    return {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
