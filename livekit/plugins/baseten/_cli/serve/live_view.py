"""The streams of `serve` as a table that follows them, on a terminal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .streams import Stream, Streams

_REFRESH_S = 0.2
_NARROW = 60  # columns, below which the least important ones are left out
_BESIDE_ROWS = 4  # lines that are no streams: the table's head, the sum, a line to spare


@contextlib.asynccontextmanager
async def live_view(console: Console, streams: Streams) -> AsyncIterator[None]:
    """Show ``streams`` while the block is running; what was shown last stays on the screen."""
    loop = asyncio.get_running_loop()

    async def follow(live: Live) -> None:
        while True:
            if streams.has_changed or streams.open:  # their ages change
                streams.has_changed = False
                live.update(_shown(streams, loop.time(), console), refresh=True)
            await asyncio.sleep(_REFRESH_S)

    with Live(console=console, auto_refresh=False) as live:
        following = asyncio.create_task(follow(live), name="baseten-live-view")
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            live.update(_shown(streams, loop.time(), console), refresh=True)


def _shown(streams: Streams, now_s: float, console: Console) -> Group:
    rows = max(3, console.height - _BESIDE_ROWS)
    under_way = streams.open
    ended = streams.ended[-max(0, rows - len(under_way)) :] if len(under_way) < rows else []
    shown = sorted([*ended, *under_way[-rows:]], key=lambda stream: stream.began_s)
    parts: list[Table | Text] = [_table(shown, now_s, console.width)] if shown else []
    hidden = len(under_way) - len(under_way[-rows:])
    total = (
        f"under way: {len(under_way)}{f' ({hidden} not shown)' if hidden else ''}   "
        f"streams: {streams.accepted}   audio: {streams.heard_s:.1f} s   finals: {streams.finals}"
    )
    parts.append(Text(total, style="dim", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


def _table(streams: list[Stream], now_s: float, width: int) -> Table:
    has_faults = any(stream.struck or stream.pending for stream in streams)
    is_wide = width >= _NARROW
    table = Table(box=None, padding=(0, 2, 0, 0), expand=True, header_style="bold")
    table.add_column("#", justify="right", no_wrap=True)
    if is_wide:
        table.add_column("since", justify="right", no_wrap=True)
    table.add_column("audio", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("heard last", no_wrap=True, overflow="ellipsis", ratio=2)
    if has_faults:
        table.add_column("faults", no_wrap=True, overflow="ellipsis", ratio=1 if is_wide else None)
    for stream in streams:
        cells: list[str | Text] = [str(stream.number or "-")]
        if is_wide:
            cells.append(_age(stream, now_s))
        cells += [f"{stream.heard_s:.1f} s", _state(stream)]
        cells.append(Text(stream.text, style="" if stream.is_settled else "italic"))
        if has_faults:
            cells.append(_faults(stream))
        table.add_row(*cells, style="" if stream.ended_s is None else "dim")
    return table


def _age(stream: Stream, now_s: float) -> str:
    """How long it has been under way, or was."""
    seconds = int((now_s if stream.ended_s is None else stream.ended_s) - stream.began_s)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _state(stream: Stream) -> Text:
    if stream.ended_s is None:
        return Text(stream.state, style="green" if stream.number else "yellow")
    return Text(stream.state, style="" if stream.state == "closed 1000" else "red")


def _faults(stream: Stream) -> Text:
    words = [Text(word, style="red") for word in stream.struck]
    words += [Text(word, style="dim") for word in stream.pending]
    return Text(" ").join(words)
