"""`local_vad`: speech starts when a voice is heard here, and is final when that voice ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from kit import grammar
from kit.client import Kind, frames, new_stt, of, push
from kit.loopback import QUICK, Listener, calling, check, client, listening, serve
from kit.prompter import Prompter
from kit.stage import LEISURE, YOUNG_MAN, script

from livekit import rtc
from livekit.agents import APIConnectOptions, APIError, vad
from livekit.agents.vad import VADEventType as Voice
from livekit.plugins.baseten import emulator
from livekit.plugins.baseten.emulator import SileroDetector, coded_speech, faults

WINDOW_S = 0.032
ONCE = APIConnectOptions(max_retry=0)

# The server would wait for two seconds.
PATIENT: dict[str, Any] = {"vad_min_silence_duration_ms": 2000}
SPEECH = coded_speech([(16_000, 8000)], trailing_samples=16_000, first_word=1001)


class Ear(vad.VADStream):
    """Hears what is loud: from its second window on, and to its eighth of silence."""

    def __init__(self, ears: Ears) -> None:
        super().__init__(ears)
        self._ears = ears
        ears.open.append(self)

    async def _main_task(self) -> None:
        self._ears.does()
        if self._ears.is_stuck:
            await asyncio.Event().wait()
        heard_s, loud, silent, is_speaking = 0.0, 0, 0, False
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):
                continue
            assert (frame.sample_rate, frame.num_channels) == (16_000, 1)
            heard_s += frame.duration
            is_loud = np.abs(np.frombuffer(frame.data, np.int16)).max() > 100
            loud, silent = (loud + 1, 0) if is_loud else (0, silent + 1)
            self._say(Voice.INFERENCE_DONE, heard_s)
            if loud == 2 and not is_speaking:
                is_speaking = True
                self._say(Voice.START_OF_SPEECH, heard_s, speech_s=2 * WINDOW_S)
            elif silent == 8 and is_speaking:
                is_speaking = False
                self._say(Voice.END_OF_SPEECH, heard_s, silence_s=8 * WINDOW_S)

    def _say(self, kind: Voice, at_s: float, speech_s: float = 0.0, silence_s: float = 0.0) -> None:
        event = vad.VADEvent(
            kind, round(at_s * 16_000), at_s, speech_duration=speech_s, silence_duration=silence_s
        )
        self._event_ch.send_nowait(event)

    @property
    def waiting(self) -> int:
        return self._input_ch.qsize()

    async def aclose(self) -> None:
        await super().aclose()
        self._ears.open.remove(self)
        self._ears.closed += 1


class Ears(vad.VAD):
    def __init__(self, *, is_stuck: bool = False, is_broken: bool = False) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=WINDOW_S))
        self.is_stuck, self.is_broken = is_stuck, is_broken
        self.open: list[Ear] = []
        self.closed = 0

    def does(self) -> None:
        if self.is_broken:
            raise RuntimeError("no such model")

    def stream(self) -> Ear:
        return Ear(self)


@pytest.fixture
def ears() -> Iterator[Ears]:
    ears = Ears()
    yield ears
    assert not ears.open, "a detector that nobody has closed"


def kinds(listener: Listener) -> list[Kind]:
    return [e.type for e in listener.events if e.type is not Kind.RECOGNITION_USAGE]


@pytest.mark.usefixtures("model")
async def test_speech_starts_without_words_and_ends_without_the_servers_silence(ears: Ears) -> None:
    pcm = SPEECH.pcm
    options = {"local_vad": ears, "enable_partial_transcripts": False, **PATIENT}
    async with serve() as server, calling(server, **options) as listener:
        listener.push(pcm[: 2 * 18_000])
        await listener.until(lambda: kinds(listener))
        assert kinds(listener) == [Kind.START_OF_SPEECH]
        for at in range(2 * 18_000, len(pcm), 3200):
            listener.push(pcm[at : at + 3200])
            await asyncio.sleep(0.1)
        await listener.until(lambda: Kind.END_OF_SPEECH in kinds(listener))
        assert [word.partition("!")[0] for word in listener.said()] == [SPEECH.words[0].text]
        grammar.check(listener.events)


async def test_a_noise_starts_and_ends_and_is_no_more(ears: Ears) -> None:
    noise = np.full(4800, 5, np.int16)
    noise[::3] = -900  # loud here, and for the server nothing that it knows a word for
    pcm = bytes(32_000) + noise.tobytes() + bytes(32_000)
    async with (
        emulator.serve(recognizer=Deaf()) as server,
        calling(server, local_vad=ears) as listener,
    ):
        for at in range(0, len(pcm), 3200):
            listener.push(pcm[at : at + 3200])
            await asyncio.sleep(0.1)
        await listener.until(lambda: Kind.END_OF_SPEECH in kinds(listener))
        grammar.check(listener.events)
    first, *answer, last = kinds(listener)
    assert (first, last) == (Kind.START_OF_SPEECH, Kind.END_OF_SPEECH)
    assert not any(e.alternatives[0].text for e in listener.events if e.alternatives)
    assert answer == [Kind.INTERIM_TRANSCRIPT, Kind.FINAL_TRANSCRIPT]


class Deaf:
    blocking = False

    def recognize(self, pcm: bytes, *, is_final: bool) -> tuple[()]:
        return ()


@pytest.mark.parametrize("rate_hz", [8000, 48_000])
async def test_it_hears_audio_of_any_rate(ears: Ears, rate_hz: int) -> None:
    tone = (8000 * np.sin(np.arange(rate_hz) * 2 * np.pi * 300 / rate_hz)).astype(np.int16)
    async with serve() as server, calling(server, local_vad=ears) as listener:
        push(listener.stream, tone, rate_hz=rate_hz)
        await listener.until(lambda: Kind.START_OF_SPEECH in kinds(listener))


@pytest.mark.parametrize("fails", ["is_stuck", "is_broken"])
async def test_a_detector_that_does_not_work_costs_no_word(
    fails: str, caplog: pytest.LogCaptureFixture
) -> None:
    ears = Ears(is_stuck=fails == "is_stuck", is_broken=fails == "is_broken")
    speech = coded_speech([(8000, 4000)] * 12, trailing_samples=8000, first_word=1001)
    with caplog.at_level(logging.WARNING):
        async with serve() as server, calling(server, local_vad=ears) as listener:
            listener.push(speech.pcm)
            await asyncio.sleep(0.1)
            listener.push(speech.pcm[:0])
            assert sum(ear.waiting for ear in ears.open) <= 2.0 / WINDOW_S, "it is held for ever"
            listener.stream.end_input()
            check(await listener.ended(), speech)
    assert not ears.open
    assert ("local voice detector has failed" in caplog.text) is (fails == "is_broken")


async def test_a_stream_that_is_closed_in_mid_speech_ends_it(ears: Ears) -> None:
    async with serve() as server, calling(server, local_vad=ears) as listener:
        listener.push(SPEECH.pcm[: 2 * 20_000])
        await listener.until(lambda: Kind.START_OF_SPEECH in kinds(listener))
    grammar.check(listener.events)


async def test_a_stream_that_goes_on_has_a_detector_of_its_own(ears: Ears) -> None:
    half = 20_000 * 2
    async with serve(faults.Reset(18_000)) as server, client(server, local_vad=ears) as stt:
        async with listening(stt, ONCE) as first:
            first.push(SPEECH.pcm[:half])
            with pytest.raises(APIError):
                await first.ended()
        async with listening(stt, QUICK, continues=first.stream) as second:
            second.push(SPEECH.pcm[half:])
            second.stream.end_input()
            await second.ended()
    assert ears.closed == 2
    grammar.check(first.events, goes_on=True)
    grammar.check(second.events)


async def test_a_recording_is_heard_without_it(ears: Ears) -> None:
    async with serve() as server, client(server, local_vad=ears) as stt:
        await stt.recognize(list(frames(SPEECH.pcm)))
    assert ears.closed == 0


def test_what_is_no_detector_is_an_error() -> None:
    with pytest.raises(ValueError, match="local_vad='silero': must be True, False or"):
        new_stt(local_vad="silero")


# With Silero, and people


async def test_silero_hears_people_sooner_than_words_come() -> None:
    spoken = script(0.5, YOUNG_MAN, 2.0, LEISURE, 1.5)
    pcm = bytes(spoken.pcm)
    came_s: list[float] = []
    loop = asyncio.get_running_loop()
    async with (
        emulator.serve(
            recognizer=Prompter(spoken), voice_detector=SileroDetector, latency_s=0.1
        ) as server,
        calling(server, local_vad=True, **PATIENT) as listener,
    ):
        begun_s = loop.time()
        for at in range(0, len(pcm), 1600):
            listener.push(pcm[at : at + 1600])
            await asyncio.sleep(max(0.0, begun_s + at / 32_000 - loop.time()))
            came_s += [loop.time() - begun_s] * (len(listener.events) - len(came_s))
        events = list(listener.events)
    grammar.check(events)
    assert [e.alternatives[0].text for e in of(Kind.FINAL_TRANSCRIPT, events)] == spoken.texts
    for kind, most_s in ((Kind.START_OF_SPEECH, 0.3), (Kind.END_OF_SPEECH, 0.8)):
        at_s = [s for s, event in zip(came_s, events, strict=True) if event.type is kind]
        for came, line in zip(at_s, spoken.lines, strict=True):
            spoke = line.start if kind is Kind.START_OF_SPEECH else line.end
            assert came - spoke / 16_000 < most_s
