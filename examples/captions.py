"""Captions for a LiveKit room: everybody in it is transcribed, each audio track by itself.

    python examples/captions.py dev      join rooms; start is the same in production

They are text streams as those of LiveKit's agents: a frontend that shows these shows them. It
needs what voice_agent.py needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from livekit import rtc
from livekit.agents import AgentServer, APIError, AutoSubscribe, JobContext, cli, stt, types, utils
from livekit.plugins import baseten

with contextlib.suppress(ImportError):
    from dotenv import load_dotenv

    load_dotenv()

logger = logging.getLogger("captions")
server = AgentServer()


class Captions:
    """Captions of each audio track in ``room``, from when it comes until it goes."""

    def __init__(self, room: rtc.Room, ears: stt.STT) -> None:
        self._room, self._ears = room, ears
        self._audio: dict[str, rtc.AudioStream] = {}
        self._tasks: list[asyncio.Task[None]] = []
        room.on("track_subscribed", self._came)
        room.on("track_unsubscribed", self._went)

    def _came(self, track: rtc.Track, at: rtc.TrackPublication, who: rtc.Participant) -> None:
        is_agent = who.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT  # which has its own
        if track.kind == rtc.TrackKind.KIND_AUDIO and not is_agent:
            self._audio[at.sid] = audio = rtc.AudioStream(track, sample_rate=16_000)
            self._tasks.append(asyncio.create_task(self._caption(audio, at.sid, who.identity)))

    def _went(self, track: rtc.Track, at: rtc.TrackPublication) -> None:
        if audio := self._audio.pop(at.sid, None):
            self._tasks.append(asyncio.create_task(audio.aclose()))

    async def _caption(self, audio: rtc.AudioStream, track: str, who: str) -> None:
        is_over = False
        while not is_over:
            try:
                is_over = await self._transcribe(audio, track, who)
            except APIError as e:
                logger.error("no captions of %s: %s", who, e.message)
                is_over = not e.retryable

    async def _transcribe(self, audio: rtc.AudioStream, track: str, who: str) -> bool:
        async def listen() -> None:
            async for heard in audio:
                stream.push_frame(heard.frame)
            stream.end_input()

        segment, shown = utils.shortuuid("SG_"), ""
        async with self._ears.stream() as stream:
            listening = asyncio.create_task(listen())
            try:
                async for event in stream:
                    text = event.alternatives[0].text if event.alternatives else shown
                    is_final = event.type is stt.SpeechEventType.FINAL_TRANSCRIPT
                    if text != shown or (text and is_final):
                        await self._publish(text, segment, track, who, is_final)
                    segment, shown = (utils.shortuuid("SG_"), "") if is_final else (segment, text)
            finally:
                await utils.aio.cancel_and_wait(listening)
        return True

    async def _publish(self, text: str, segment: str, track: str, who: str, final: bool) -> None:
        attributes = {
            types.ATTRIBUTE_TRANSCRIPTION_SEGMENT_ID: segment,  # its last text is what stands
            types.ATTRIBUTE_TRANSCRIPTION_TRACK_ID: track,
            types.ATTRIBUTE_TRANSCRIPTION_FINAL: str(final).lower(),
        }
        writer = await self._room.local_participant.stream_text(
            topic=types.TOPIC_TRANSCRIPTION, sender_identity=who, attributes=attributes
        )
        await writer.write(text)
        await writer.aclose()

    async def aclose(self) -> None:
        await utils.aio.cancel_and_wait(*self._tasks)
        await asyncio.gather(*(audio.aclose() for audio in self._audio.values()))
        await self._ears.aclose()


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    captions = Captions(ctx.room, baseten.STT())
    ctx.add_shutdown_callback(captions.aclose)
    await ctx.connect(auto_subscribe=AutoSubscribe.AUDIO_ONLY)


if __name__ == "__main__":
    cli.run_app(server)
