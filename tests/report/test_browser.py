"""The page as its reader uses it, in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from report.browser import Tab, browser, tab
from report.recordings import HOSTILE, a_call
from typer.testing import CliRunner

from livekit.plugins.baseten._cli import app
from livekit.plugins.baseten._report import page, read

LANES = "#lanes"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with browser(tmp_path_factory.mktemp("browser")) as address:
        yield address


@pytest.fixture
async def shown(tmp_path: Path, address: str) -> AsyncIterator[Tab]:
    """The page of `a_call`; whatever it does wrong fails the test."""
    file = tmp_path / "call.html"
    file.write_text(page(read(a_call(tmp_path / "call"))), encoding="utf-8")
    async with tab(address) as opened:
        await opened.open(file.as_uri())
        await opened.until("audio.readyState >= 2 && document.querySelector('#lanes').width > 300")
        yield opened
        assert opened.wrongs == []
        elsewhere = [url for url in opened.requests if not url.startswith(("file:", "data:"))]
        assert elsewhere == []


async def x_on_screen(shown: Tab, seconds: float) -> float:
    """Where in the lanes a moment is, in pixels."""
    width = "(document.querySelector('#lanes').clientWidth - GUTTER)"
    share = f"({seconds} - view.from) / (view.to - view.from)"
    return float(await shown.value(f"GUTTER + {share} * {width}"))


async def y_of(shown: Tab, lane: str) -> float:
    return float(
        await shown.value(
            "(() => { let y = 0; for (const l of LANES) {"
            f" if (l.name === {lane!r}) return y + l.height / 2; y += l.height + 1; }} }})()"
        )
    )


async def is_drawn(shown: Tab, points: list[tuple[float, str]]) -> list[bool]:
    """Whether there is anything at these moments in these lanes."""
    places = [[round(await x_on_screen(shown, x)), round(await y_of(shown, n))] for x, n in points]
    drawn: list[bool] = await shown.value(
        "(() => { const canvas = document.querySelector('#lanes'), width = canvas.width;"
        "const pixels = canvas.getContext('2d').getImageData(0, 0, width, canvas.height).data;"
        f"return {places}.map(([x, y]) => pixels[4 * (y * width + x) + 3] > 0); }})()"
    )
    return drawn


async def span(shown: Tab) -> float:
    return float(await shown.value("view.to - view.from"))


async def test_it_shows_the_call(shown: Tab) -> None:
    rows = await shown.value(
        "[...document.querySelectorAll('#utterances tr')].map(r => r.innerText)"
    )
    assert len(rows) == 3
    assert "one two" in rows[0]
    assert "0.50 s" in rows[0]
    assert HOSTILE in rows[2]
    assert await shown.value("document.title") == "baseten-0123456789ab"  # nothing was executed
    assert await shown.value("document.images.length") == 0
    assert (await shown.picture()).startswith(b"\x89PNG")


async def test_each_lane_is_drawn_where_something_was_and_nowhere_else(shown: Tab) -> None:
    there = [
        (3.0, "audio"),
        (1.5, "speech"),
        (2.0, "interims"),
        (1.9, "finals"),
        (1.4, "words"),
        (2.2, "delay"),
        (6.0, "flushes"),
        (3.0, "connections"),
        (4.0, "problems"),
    ]
    not_there = [
        (6.8, "audio"),
        (3.0, "speech"),
        (3.0, "interims"),
        (3.0, "finals"),
        (3.0, "words"),
        (1.2, "delay"),
        (3.0, "flushes"),
        (0.1, "connections"),
        (3.0, "problems"),
    ]
    drawn = await is_drawn(shown, [*there, *not_there])
    assert drawn == [True] * len(there) + [False] * len(not_there)


async def test_it_plays_from_where_it_is_clicked(shown: Tab) -> None:
    await shown.click(LANES, x=await x_on_screen(shown, 8.0), y=await y_of(shown, "audio"))
    # 8.0 of the call is 6.5 of the audio: none came for a second and a half.
    assert await shown.value("audio.currentTime") == pytest.approx(6.5, abs=0.03)
    await shown.click("#play")
    await shown.until("!audio.paused && audio.currentTime > 6.6")
    await shown.until("head > 8.1")
    label = "document.querySelector('#play').getAttribute('aria-label')"
    await shown.until(f"{label} === 'Pause'")
    await shown.press(" ", text=" ")  # the button has the focus: the space bar presses it
    await shown.until(f"audio.paused && {label} === 'Play'")
    assert await shown.value("audio.error") is None


async def test_a_gap_is_heard_from_its_end(shown: Tab) -> None:
    await shown.click(LANES, x=await x_on_screen(shown, 6.8), y=await y_of(shown, "audio"))
    assert await shown.value("head") == pytest.approx(6.8, abs=0.02)
    assert await shown.value("audio.currentTime") == pytest.approx(6.0, abs=0.01)


async def test_it_plays_across_a_gap_to_its_end(shown: Tab) -> None:
    await shown.value("seek(5.8)")
    await shown.value("document.body.focus()")
    await shown.press(" ", text=" ")
    await shown.until("head > 7.5")  # from 6.0 in one step, whenever it is looked at
    await shown.until("Math.abs(head - audio.currentTime - 1.5) < 0.1")
    await shown.value("seek(9.3)")
    await shown.until("audio.paused && audio.ended")
    await shown.until("Math.abs(head - 9.5) < 0.05")


async def test_the_wheel_zooms_where_it_points_and_dragging_moves(shown: Tab) -> None:
    before = await span(shown)
    x, y = await shown.point(LANES, await x_on_screen(shown, 5.0), 60)
    await shown.mouse("mouseWheel", x, y, deltaX=0, deltaY=-500)
    await shown.until(f"view.to - view.from < {before} / 2")
    assert (await shown.point(LANES, await x_on_screen(shown, 5.0), 60))[0] == pytest.approx(
        x, abs=1
    )
    await shown.mouse("mousePressed", x, y)
    await shown.mouse("mouseMoved", x - 100, y, buttons=1)
    await shown.mouse("mouseReleased", x - 100, y)
    moved = (await shown.point(LANES, await x_on_screen(shown, 5.0), 60))[0]
    assert moved == pytest.approx(x - 100, abs=2)
    assert await shown.value("head") == 0  # it was no click
    await shown.click("#fit")
    assert await span(shown) == pytest.approx(before)


async def test_two_fingers_zoom(shown: Tab) -> None:
    before = await span(shown)
    x, y = await shown.point(LANES)

    async def touch(kind: str, *xs: float) -> None:
        points = [{"x": x, "y": y, "id": i} for i, x in enumerate(xs)]
        await shown.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    await touch("touchStart", x - 50)
    await touch("touchStart", x - 50, x + 50)
    for apart in (80, 110, 150):
        await touch("touchMove", x - apart, x + apart)
    await touch("touchEnd")
    assert await span(shown) < before / 2
    assert await shown.value("head") == 0  # they were no click


async def test_keys_zoom_and_step(shown: Tab) -> None:
    before = await span(shown)
    await shown.press("+", text="+")
    assert await span(shown) == pytest.approx(before / 2)
    await shown.press("ArrowRight")
    assert await shown.value("head") == pytest.approx(1.0)
    await shown.press("-", text="-")
    await shown.press("End")
    assert await shown.value("head") == pytest.approx(9.6)
    await shown.press("0", text="0")
    assert await span(shown) == pytest.approx(before)


async def test_what_is_pointed_at_is_told(shown: Tab) -> None:
    tip = "document.querySelector('#tip')"
    for seconds, lane, told in [
        (1.2, "words", "one"),
        (2.2, "delay", "0.50 s after its last word"),
        (5.9, "flushes", "answered after 0.20 s"),
        (8.5, "finals", HOSTILE),
        (4.12, "connections", "no connection for 0.50 s"),
        (4.0, "problems", "connection lost"),
    ]:
        x, y = await x_on_screen(shown, seconds), await y_of(shown, lane)
        await shown.mouse("mouseMoved", *await shown.point(LANES, x, y))
        assert await shown.value(f"{tip}.hidden") is False, lane
        assert told in await shown.value(f"{tip}.textContent"), lane


async def test_an_utterance_is_gone_to_by_the_keyboard(shown: Tab) -> None:
    await shown.value("document.querySelector('#utterances tr:nth-child(3) button').focus()")
    await shown.press("Enter", text="\r")
    assert await shown.value("head") == pytest.approx(8.0, abs=0.01)
    current = await shown.value("document.querySelector('tr.is-current').rowIndex")
    assert current == 3


async def test_the_log_is_filtered_and_opened(shown: Tab) -> None:
    entries = "[...document.querySelectorAll('#log code')].map(c => c.textContent)"
    everything = len(await shown.value(entries))
    await shown.value("document.querySelector('#filter').focus()")
    await shown.call("Input.insertText", text="IS_FINAL")
    (entry,) = await shown.value(entries)
    assert "is_final" in entry
    assert await shown.value("document.querySelector('#count').textContent") == f"1 of {everything}"
    await shown.click("#log summary code")
    await shown.until("document.querySelector('#log pre')")
    opened = await shown.value("document.querySelector('#log pre').textContent")
    assert '"is_final": true' in opened


async def test_dark_is_dark(shown: Tab) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = await shown.value(ground)
    await shown.call(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-color-scheme", "value": "dark"}],
    )
    await shown.until(f"{ground} !== {light!r}")
    await shown.until("colors.ground === '#0e1116'")  # the canvas too


async def test_a_narrow_window_needs_no_sideways_scrolling(shown: Tab) -> None:
    await shown.call(
        "Emulation.setDeviceMetricsOverride",
        width=390,
        height=800,
        deviceScaleFactor=2,
        mobile=True,
    )
    await shown.until("document.querySelector('#lanes').clientWidth < 390")
    assert await shown.value("document.documentElement.scrollWidth") <= 390


async def test_a_call_without_audio_is_shown(tmp_path: Path, address: str) -> None:
    recording = a_call(tmp_path / "call")
    recording.with_suffix(".wav").unlink()
    file = tmp_path / "call.html"
    file.write_text(page(read(recording)), encoding="utf-8")
    async with tab(address) as shown:
        await shown.open(file.as_uri())
        assert await shown.value("document.querySelectorAll('#utterances tr').length") == 3
        assert await shown.value("document.querySelector('#play').disabled")
        assert shown.wrongs == []


async def test_all_calls_of_a_folder_are_sorted_and_chosen_by_keyboard(
    tmp_path: Path, address: str
) -> None:
    a_call(tmp_path / "b")
    a_call(tmp_path / "a")
    a_call(tmp_path / "c", pace=4.0)  # faster than speech: no delays
    assert CliRunner().invoke(app, ["report", str(tmp_path)]).exit_code == 0
    shown = "document.querySelectorAll('#calls tbody tr:not([hidden]) a')"
    listed = f"[...{shown}].map((a) => a.pathname.slice(-6))"
    async with tab(address) as opened:
        await opened.open((tmp_path / "index.html").as_uri())
        assert sorted(await opened.value(listed)) == ["a.html", "b.html", "c.html"]
        delay = "document.querySelectorAll('#calls thead button')[4]"
        await opened.value(f"{delay}.focus()")
        await opened.press("Enter", text="\r")
        assert (await opened.value(listed))[-1] == "c.html"
        assert await opened.value(f"{delay}.closest('th').ariaSort") == "descending"
        await opened.press("Enter", text="\r")
        assert (await opened.value(listed))[0] == "c.html"
        await opened.value("document.querySelector('#filter').focus()")
        await opened.call("Input.insertText", text="A FINAL 9 S")
        assert await opened.value(listed) == []
        await opened.until("document.querySelector('#count').textContent === '0 of 3'")
        assert opened.wrongs == []
        # The page of a call plays the recording, and its policy lets it.
        await opened.open((tmp_path / "a.html").as_uri())
        await opened.until("audio.readyState >= 2")
        await opened.click("nav a")
        await opened.until("document.querySelector('#calls')")
        assert opened.wrongs == []
        files = [url for url in opened.requests if not url.startswith("file:")]
        assert files == []
