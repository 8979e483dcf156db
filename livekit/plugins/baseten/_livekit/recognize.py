"""Recognizes a whole recording at once, over a connection of its own."""

from __future__ import annotations

import asyncio
import time

from livekit.agents import stt, utils

from .._connection.connector import Connector
from .._core.clocks import EventClock
from .._core.events import Final, Hypothesis, Used
from .._core.recognition import Recognition
from .._core.text import joined
from .._core.wire import mean_confidence
from .._recording.nothing import NoRecording
from .._recording.recording import Recording
from .._telemetry.stream import StreamTelemetry
from .audio import Intake
from .connections import carry
from .precaution import heard_out
from .speech_events import speech_data


async def recognized(
    buffer: utils.AudioBuffer,
    recognition: Recognition,
    connector: Connector,
    *,
    timeout_s: float,
    recording: Recording | NoRecording,
    telemetry: StreamTelemetry,
) -> stt.SpeechData:
    """Everything that is said in ``buffer``, as one result with the words and times of all.

    Args:
        recognition: A new one, that keeps as much audio as this.
        recording: Of this call.
        telemetry: Of this call.
        timeout_s: For the handshake.

    Raises:
        BasetenError: The connection could not be had, or did not last. Nothing is tried again
            here: whoever calls has a budget for that.
    """
    intake = Intake()
    wall_s = time.time()  # noqa: TID251  # when audio was pushed is a time of day
    for frame in buffer if isinstance(buffer, list) else [buffer]:
        for pcm in intake.pieces(frame):
            recognition.push(pcm, intake.position, wall_s)
            recording.pushed(pcm)
            await asyncio.sleep(0)  # an hour of audio is seconds of work: others get their turn
    rest = intake.rest()
    recognition.push(rest, intake.position, wall_s)
    recording.pushed(rest)
    recognition.end_input()
    try:
        if not recognition.has_nothing_left:
            await heard_out(
                recognition,
                lambda: _carried(recognition, connector, timeout_s, recording, telemetry),
            )
    finally:
        events = recognition.take_events()
        telemetry.used(sum(event.samples for event in events if isinstance(event, Used)))
    finals = [e.hypothesis for e in events if isinstance(e, Final) and e.hypothesis.text]
    return speech_data(_combined(finals), EventClock())


async def _carried(
    recognition: Recognition,
    connector: Connector,
    timeout_s: float,
    recording: Recording | NoRecording,
    telemetry: StreamTelemetry,
) -> None:
    """Work with one connection until everything has been said.

    Raises:
        BasetenError: It could not be had, or ended before.
    """
    loop = asyncio.get_running_loop()
    opened = await connector.open(recognition.new_session, timeout_s=timeout_s)
    connection = opened.connection
    carry(recognition, opened, recording, telemetry, lambda: recognition.advance(loop.time()))
    try:
        while not recognition.is_done:
            await connection.ended()
            recognition.advance(loop.time())
            if recognition.error is not None:
                raise recognition.error
    finally:
        await connection.aclose()


def _combined(finals: list[Hypothesis]) -> Hypothesis:
    if not finals:
        return Hypothesis("", 0, 0)
    words = tuple(word for final in finals for word in final.words)
    languages = [final.language for final in finals if final.language]
    sources = [final.source_language for final in finals if final.source_language is not None]
    speakers = {final.speaker for final in finals}
    return Hypothesis(
        text=joined(final.text for final in finals),
        start=finals[0].start,
        end=max(final.end for final in finals),
        words=words,
        language=max(languages, key=languages.count, default=""),
        confidence=mean_confidence([word.confidence for word in words]),
        language_prob=min((p for f in finals if (p := f.language_prob) is not None), default=None),
        source_language=max(sources, key=sources.count, default=None),
        beams=finals[0].beams if len(finals) == 1 else (),
        speaker=speakers.pop() if len(speakers) == 1 else None,
        is_suspect=any(final.is_suspect for final in finals),
        is_unspoken=any(final.is_unspoken for final in finals),
        is_promoted=any(final.is_promoted for final in finals),
    )
