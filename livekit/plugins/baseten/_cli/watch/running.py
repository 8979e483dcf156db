"""A deployment that is watched, from the first probe to Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..._core.endpoint import Endpoint
from ..._core.options import Model, Options
from ...stt import STT
from ..check.checkup import Checkup
from ..check.steps import Steps
from ..console import fail, out
from ..deployment import speech_to_text
from .exposition import Exposition, Seen, exposed
from .printed import Printed
from .probe import Probed, probe
from .watching import History, watching

# Beyond two handshakes: the sentence, twice, and the longest waits for its finals.
_SPEAKING_S = 60.0


@dataclass(frozen=True)
class Watched:
    """
    Attributes:
        extra: Laid over the metadata.
        every_s: From the start of a probe to that of the next.
        wait_s: How long a handshake may take.
    """

    endpoint: Endpoint
    model: Model
    extra: Mapping[str, Any]
    every_s: float
    wait_s: float

    @property
    def within_s(self) -> float:
        """After which a probe is given up."""
        return 2 * self.wait_s + _SPEAKING_S

    def speech_to_text(self) -> STT:
        return speech_to_text(self.endpoint, model=self.model, extra_metadata=self.extra)

    def checkup(self) -> Checkup:
        return Checkup(
            self.speech_to_text,
            self.endpoint,
            Options.create(self.model, extra_metadata=self.extra),
            Steps(None),
            wait_s=self.wait_s,
        )


def watched(what: Watched, listen: tuple[str, int] | None, *, as_json: bool) -> None:
    """Watch until Ctrl-C or SIGTERM.

    Args:
        listen: Host and port for Prometheus.
        as_json: An object for each probe in place of a line.
    """
    logging.getLogger("livekit").addHandler(logging.NullHandler())  # what matters is said here
    what.speech_to_text()  # arguments that cannot be right end it here, before it listens
    exposition = Exposition(urlsplit(what.endpoint.url).hostname or "", what.model)
    printed, history = Printed(out, as_json=as_json), History()
    with contextlib.ExitStack() as stack:
        where = "" if listen is None else stack.enter_context(_exposed(exposition, *listen))
        printed.begins(what.endpoint.url, what.model, what.every_s, where)
        with contextlib.suppress(KeyboardInterrupt):  # where signals cannot be taken over
            asyncio.run(_until_signal(what, exposition, history, printed))
        printed.ends(history)


@contextlib.contextmanager
def _exposed(exposition: Exposition, host: str, port: int) -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        try:
            where = stack.enter_context(exposed(exposition, host, port))
        except OSError as e:
            fail(f"cannot listen on {host}:{port}: {e.strerror or e}")
        yield where


async def _until_signal(
    what: Watched, exposition: Exposition, history: History, printed: Printed
) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(signal_number, stopped.set)
    await until(stopped, what, exposition, history, printed)


async def until(
    stopped: asyncio.Event,
    what: Watched,
    exposition: Exposition,
    history: History,
    printed: Printed,
) -> None:
    """Watch until stopped, and tell everybody of each probe."""

    def told(probed: Probed) -> None:
        change = history.take(probed)
        heard_s = exposition.seen.heard_s if probed.state == "down" else probed.at.timestamp()
        exposition.seen = Seen(probed, history.results.copy(), heard_s)
        printed.probed(probed, change)

    await watching(
        lambda: probe(what.checkup, within_s=what.within_s), told, stopped, every_s=what.every_s
    )
