"""The microphone through a stream, until whoever speaks has had enough."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from livekit import rtc
from livekit.agents import APIError, stt

from ..._transcription.hearing import final_of, interim_of, reason
from ..._transcription.transcript import Segment, Transcript
from ...stt import STT
from ..deployment import in_options
from .wishes import MICROPHONE

_BLOCKS_PER_S = 50


class Unheard(Exception):
    """There is no microphone, or no deployment that listened to the end; the message says why.

    Attributes:
        transcript: What was heard.
    """

    def __init__(self, why: str, transcript: Transcript) -> None:
        super().__init__(why)
        self.transcript = transcript


async def hear_microphone(
    speech_to_text: STT,
    device: str | None,
    stopped: asyncio.Event,
    *,
    opened: Callable[[], None],
    said: Callable[[Segment], None],
    interim: Callable[[str], None],
) -> Transcript:
    """Transcribe until ``stopped``, and then to the last word.

    Args:
        device: Name or number; None for the system's choice.
        opened: Told once it listens.
        said: Told of each segment.
        interim: Told what is being said; "" takes it back.

    Raises:
        Unheard: There is no microphone, or no deployment that listens.
    """
    transcript = Transcript(MICROPHONE)
    try:
        async with speech_to_text.stream() as stream:

            def push(frame: rtc.AudioFrame) -> None:
                with contextlib.suppress(RuntimeError):  # a late block: the input has ended
                    stream.push_frame(frame)
                    transcript.duration_s += frame.duration

            async def end() -> None:
                await stopped.wait()
                with contextlib.suppress(RuntimeError):  # it has failed, and says so below
                    stream.end_input()

            with _recording(device, push):
                opened()
                ending = asyncio.create_task(end())
                try:
                    async for event in stream:
                        if segment := final_of(event):
                            transcript.segments.append(segment)
                            said(segment)
                        elif event.type is stt.SpeechEventType.INTERIM_TRANSCRIPT:
                            interim(interim_of(event))
                finally:
                    ending.cancel()
            if stream.lost_audio_s:
                why = f"{stream.lost_audio_s:.1f} s of it were not heard"
                raise Unheard(why, transcript)
    except APIError as e:
        raise Unheard(in_options(reason(e)), transcript) from None
    except _NoMicrophone as e:
        raise Unheard(str(e), transcript) from None
    return transcript


class _NoMicrophone(Exception):
    """The message says why."""


@contextlib.contextmanager
def _recording(device: str | None, push: Callable[[rtc.AudioFrame], None]) -> Iterator[None]:
    """Have ``push`` called on the event loop with whatever is heard, in the block.

    Raises:
        _NoMicrophone: There is no such microphone, or nothing to use one with.
    """
    try:
        import sounddevice  # here, as it looks for a sound system
    except ImportError:
        raise _NoMicrophone('pip install "livekit-plugins-baseten[microphone]" for it') from None
    except OSError as e:
        raise _NoMicrophone(f"{e}: on Debian, apt-get install libportaudio2") from None
    loop = asyncio.get_running_loop()
    chosen = int(device) if device and device.isdigit() else device
    try:
        rate_hz = round(sounddevice.query_devices(chosen, "input")["default_samplerate"])

        def heard(pcm: bytes, samples: int, time: object, status: object) -> None:
            frame = rtc.AudioFrame(bytes(pcm), rate_hz, 1, samples)
            loop.call_soon_threadsafe(push, frame)  # from the device's own thread

        stream = sounddevice.RawInputStream(
            rate_hz, rate_hz // _BLOCKS_PER_S, chosen, channels=1, dtype="int16", callback=heard
        )
    except (sounddevice.PortAudioError, ValueError) as e:
        raise _NoMicrophone(
            f"{_first_line(e)}: `python -m sounddevice` lists what there is"
        ) from None
    with stream:
        yield


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
