"""The public stream: hands audio to its recognition, and events to LiveKit."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable

from typing_extensions import Self, Unpack

from livekit import rtc
from livekit.agents import APIConnectOptions, APIError, stt, vad

from .._connection.connector import Connector, Opened
from .._connection.loops import is_running_here, run_in
from .._core.clocks import BYTES_PER_SAMPLE, SAMPLE_RATE_HZ
from .._core.events import AudioLost, Final, FlushAnswered, Interim, Preflight
from .._core.options import Options
from .._core.wire import dialect_for
from .._recording.nothing import NoRecorder
from .._recording.recording import Recorder
from .._telemetry.deployment import Telemetry
from .arguments import OptionChanges, changed_options
from .audio import Intake
from .base import BaseStream
from .connections import Calls, Connections, Limits
from .continuation import Fate, Pipelines, Successor, Unfinished, Work
from .local_voice import LocalVoice
from .speech_events import SPOKEN, SpeechEvents, SpokenEvent
from .warnings import Notices


class SpeechStream(BaseStream):
    """A stream of audio and of the speech events heard in it. Made by `STT.stream`."""

    def __init__(
        self,
        *,
        stt: stt.STT,
        connector: Connector,
        work: Work,
        pipelines: Pipelines,
        options: Options,
        limits: Limits,
        conn_options: APIConnectOptions,
        recorder: Recorder | NoRecorder,
        telemetry: Telemetry,
        source: str = "",
        detector: vad.VAD | None = None,
    ) -> None:
        self._limits = limits
        self._work = work
        self._pipelines = pipelines
        self._intake = Intake(work.start)
        self._recognition = recognition = work.recognition
        self.unfinished = Unfinished(self._lose_rest)
        request_id = f"baseten-{uuid.uuid4().hex[:12]}"
        self._speech_events = SpeechEvents(request_id, recognition.wall.at)
        self._recording = recorder.start(request_id, options, source)
        self._telemetry = telemetry.stream(recognition)
        self._notices = Notices(
            replay_buffer_s=limits.replay_buffer_s,
            lost_before=work.lost_samples,
            lost=self._lost,
            failed=self._report,
        )
        self._offset_s = 0.0
        if work.goes_on:
            self._recording.went_on(recognition.journal)
        self._connections = connections = Connections(
            connector,
            recognition,
            self._recording,
            self._telemetry,
            options=options,
            limits=limits,
            connect_timeout_s=conn_options.timeout,
            calls=Calls(
                received=self._emit,
                taken_over=self._taken_over,
                worked=self._give_budget_back,
                change_failed=self._report,
                retry_delays_s=self._retry_delays_s,
            ),
            goes_on=work.goes_on,
        )
        super().__init__(
            stt=stt,
            conn_options=conn_options,
            retry_after_s=lambda: connections.retry_after_s,
            are_later=lambda: not connections.is_first_outage,
        )
        self._voice: LocalVoice | None = None
        if recognition.has_input_ended:
            self._end_input()
        elif detector is not None:
            self._voice = LocalVoice(
                detector, work.start, started=self._voice_started, stopped=self._voice_stopped
            )

    # What LiveKit and users call

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        """Push audio of any sample rate and channel count; both may change in mid-stream.

        A stream that has failed sends no more: whoever iterates over it is told why. It keeps the
        audio for the stream that goes on from it.

        Raises:
            RuntimeError: The input has ended, or the stream is closed.
            ValueError: The frame is malformed.
            BufferError: Four hours of audio wait for the server. Nothing is lost: push it later.
        """
        if not self._takes_audio:
            self._push_late(frame)
            return
        recognition = self._recognition
        if recognition.is_full:
            raise BufferError(
                "4 hours of audio wait for the server already: wait for results, then push on"
            )
        pcm = self._intake.converted(frame)
        self._recording.pushed(pcm)
        is_due = recognition.push(pcm, self._intake.position, _wall_s())
        if is_due and (connection := self._connections.current) is not None:
            connection.send()
        if self._voice is not None:
            self._voice.push(pcm)
        if recognition.events:
            self._emit()

    def flush(self) -> None:
        """Finish what was said so far now, and not only when the server hears a pause.

        It is answered by a final transcript, empty if nothing was said. Audio may go on at once.

        Raises:
            RuntimeError: The input has ended, or the stream is closed.
        """
        if self._has_failed:
            self._keep_flush()
            return
        self._check_open()
        self._push_rest()
        self._recording.flushed()
        self._recognition.flush(self._loop.time())
        self._pass_on()

    def end_input(self) -> None:
        """No audio will come any more: the stream ends after the last word of what was pushed.

        Raises:
            RuntimeError: The input has ended already, or the stream is closed.
        """
        if self.unfinished.fate is Fate.HELD:
            self._recognition.end_input()
            return
        if self._has_failed:
            return
        self._check_open()
        self._push_rest()
        self._recording.input_ended()
        self._close_voice()
        self._recognition.end_input()
        self._end_input()
        self._pass_on()

    def take_unfinished(self) -> rtc.AudioFrame:
        """The audio that has no final, of a stream that has failed: 16 kHz, mono.

        It is yours then, to push to another STT: no stream goes on from this one, and none of it is
        reported as lost. Available for ``replay_buffer_s`` after the failure, and empty after that.

        Raises:
            ValueError: This stream has not failed, or somebody goes on from it already.
        """
        self.unfinished.take()
        self._push_rest()
        journal = self._recognition.journal
        pcm = journal.read(journal.start, journal.stop)
        self._recognition.drop_rest()
        return rtc.AudioFrame(pcm, SAMPLE_RATE_HZ, 1, len(pcm) // BYTES_PER_SAMPLE)

    async def aclose(self) -> None:
        """Close the stream now, whatever is under way, from any event loop.

        Returns within 100 ms; where the stream is of another thread, within a second.
        """
        await run_in(self._loop, self._close)

    async def _close(self) -> None:
        await super().aclose()
        if self._voice is not None:
            await self._voice.aclose()
        self._recording.close()  # `_main_task` does none of it, if it never began
        self._telemetry.close()
        self.unfinished.finish()

    async def __aenter__(self) -> Self:
        return self

    @property
    def start_time_offset(self) -> float:
        """Seconds added to every time of this stream's events.

        Set by LiveKit when it opens the stream. It does not grow while the stream waits for a
        connection: times are counted in samples of the audio that was pushed. In a stream that
        goes on from another one it holds for the audio that is pushed to this one. Where an
        `AgentSession` goes on, that follows the audio before it without a gap, and so do its times.
        """
        return self._offset_s

    @start_time_offset.setter
    def start_time_offset(self, value: float) -> None:
        if value < 0:
            raise ValueError(f"start_time_offset={value!r}: must be at least 0")
        self._offset_s = value
        if not self._work.keeps_times:
            self._work.clock.set_start(value)

    @property
    def lost_audio_s(self) -> float:
        """Seconds of audio that were dropped unheard because no connection came in time.

        After the stream has failed, also what no other one has gone on with.
        """
        return self._notices.lost_samples / SAMPLE_RATE_HZ

    @property
    def dropped_hallucinations(self) -> int:
        """How many finals `drop_hallucinations` has made empty."""
        return self._notices.hallucinations_dropped

    @property
    def options(self) -> Options:
        """The options of this stream. After a change, those that it is about to use."""
        return self._connections.options

    def update_options(self, **changes: Unpack[OptionChanges]) -> None:
        """Change options of this stream alone; see `STT.update_options`.

        Raises:
            ValueError: An argument is out of range; nothing has changed then.
        """
        options = self.options.updated(**changed_options(changes))
        dialect_for(options)
        self.use_options(options)

    def use_options(self, options: Options) -> None:
        """For `STT`, in any thread: recognize with ``options`` from the next pause on."""
        if not is_running_here(self._loop):
            if self._loop.is_running():
                self._loop.call_soon_threadsafe(self.use_options, options)
            return
        if options != self.options:
            self._connections.use(options)

    # The end, and what comes after it

    async def _main_task(self) -> None:
        try:
            await super()._main_task()
        except APIError:
            self._telemetry.failed()
            self._leave()
            raise
        finally:
            self._takes_audio = False
            self._close_voice()
            if self.unfinished.fate is Fate.OPEN:
                self._end_with(self._recognition.give_up)
                if not self._connections.is_first_outage:
                    self._lose_rest()  # it was closed in the outage in which others failed
                self.unfinished.finish()
            self._recording.close()
            self._telemetry.close()

    def _end_with(self, end: Callable[[], None]) -> None:
        """However the stream ends, a start of speech needs its end and a flush its answer."""
        end()
        self._emit()
        self._notices.report_loss()

    def _leave(self) -> None:
        """The stream has failed: leave what is not finished to the one that goes on from here."""
        self._close_voice()
        recognition = self._recognition
        recognition.detach(self._connections.blame)
        successor = self._pipelines.successor(self)
        if recognition.is_stuck or not self._limits.hold_s:
            successor = Successor.NONE
        is_certain = successor is Successor.CERTAIN
        self._end_with(recognition.suspend if is_certain else recognition.give_up)
        if successor is Successor.NONE:
            self.unfinished.lose()
        else:
            self.unfinished.hold(self._limits.hold_s)

    def hand_over(self, *, keeps_times: bool) -> Work:
        """For `STT`, when it opens the stream that goes on from this one.

        Args:
            keeps_times: Its audio follows this one's without a gap.

        Raises:
            ValueError: This stream has not failed, or somebody goes on from it already.
        """
        self.unfinished.take()
        self._push_rest()
        stop = self._intake.position
        self._work.clock.begin(stop)
        keeps_times = keeps_times and stop > 0
        return Work(
            self._recognition,
            self._work.clock,
            stop,
            goes_on=True,
            keeps_times=keeps_times,
            lost_samples=self._notices.lost_in_all,
        )

    def _push_late(self, frame: rtc.AudioFrame) -> None:
        """After a failure LiveKit pushes audio for a moment longer, until it has noticed.

        Raises:
            RuntimeError: The input has ended, or the stream is closed.
        """
        if not self._has_failed:
            self._check_open()
        elif self.unfinished.fate is Fate.HELD and not self._recognition.is_full:
            pcm = self._intake.converted(frame)
            self._recognition.push(pcm, self._intake.position, _wall_s())

    def _keep_flush(self) -> None:
        if self.unfinished.fate is Fate.HELD:
            self._push_rest()
            self._recognition.flush(self._loop.time())

    def _lose_rest(self) -> None:
        """Nobody has gone on."""
        self._recognition.drop_rest()
        lost = [e.samples for e in self._recognition.take_events() if isinstance(e, AudioLost)]
        if self._limits.hold_s:
            self._notices.take_rest(sum(lost))

    async def _run(self) -> None:
        """Work with one connection. LiveKit calls this again after a retryable error."""
        if not self._recognition.has_nothing_left:
            await self._connections.run()

    # Events

    def _push_rest(self) -> None:
        """What was pushed includes what the resampler still holds."""
        rest = self._intake.rest()
        self._recording.pushed(rest)
        self._recognition.push(rest, self._intake.position, _wall_s())
        if self._voice is not None:
            self._voice.push(rest)

    def _pass_on(self) -> None:
        """Send what was asked for, and emit what came of it."""
        if (connection := self._connections.current) is not None:
            connection.wake()
        if self._recognition.events:
            self._emit()

    def _emit(self) -> None:
        """Take in what the session has received, and tell LiveKit what came of it."""
        now = self._now()
        self._recognition.advance(now)
        for event in self._recognition.take_events():
            now_wall_s = _wall_s()
            self._telemetry.take(event, now, now_wall_s)
            if not isinstance(event, SPOKEN):
                if not isinstance(event, FlushAnswered):
                    self._notices.take(event)
            elif self._takes_events:
                clock = self._work.clock
                said = self._speech_events.of(event, clock=clock, now_wall_s=now_wall_s)
                if self._recording.is_recorded:
                    self._recording.said(said, clock.offset_s(_start_of(event)))
                self._emit_event(said)
        if self._recognition.is_pausing:
            self._connections.note_pause()

    def _taken_over(self, opened: Opened) -> None:
        self._emit_acquired(opened.acquire_s, is_reused=opened.is_reused)
        self._notices.report_loss()

    def _lost(self, samples: int) -> None:
        self._recording.lost(samples)
        self._telemetry.lost(samples)

    def _report(self, error: APIError) -> None:
        self._recording.failed(error, recoverable=True)
        self._emit_recoverable(error)

    # What a detector of its own hears

    def _voice_started(self, at: int) -> None:
        self._recognition.voice_started(at, self._now())
        self._pass_on()

    def _voice_stopped(self, at: int, *, is_recent: bool) -> None:
        self._recognition.voice_stopped(at, self._now(), is_recent=is_recent)
        self._pass_on()

    def _close_voice(self) -> None:
        if self._voice is not None:
            self._voice.close()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _start_of(event: SpokenEvent) -> int:
    """Where the hypothesis of an event begins, a stream sample; 0 where it has none."""
    return event.hypothesis.start if isinstance(event, (Interim, Preflight, Final)) else 0


def _wall_s() -> float:
    return time.time()  # noqa: TID251  # when audio was pushed is a time of day
