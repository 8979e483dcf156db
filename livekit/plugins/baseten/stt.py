"""Baseten speech-to-text for LiveKit Agents."""

from __future__ import annotations

import asyncio
import os
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
from typing_extensions import Self, Unpack

from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    APIConnectOptions,
    stt,
    utils,
    vad,
)
from livekit.agents.types import NOT_GIVEN, NotGivenOr
from livekit.agents.utils import is_given
from livekit.agents.utils.audio import calculate_audio_duration

from ._connection.connector import Connector
from ._core.clocks import EventClock
from ._core.endpoint import Endpoint, resolve_url
from ._core.errors import BasetenError
from ._core.options import Granularity, Model, Options
from ._core.recognition import Recognition
from ._core.session import Patience, Session
from ._core.wire import dialect_for
from ._core.wire.keyterms import MAX_PROMPT_TOKENS, unique
from ._livekit.api_errors import to_api_error
from ._livekit.arguments import (
    OptionChanges,
    above,
    at_least,
    changed_options,
    check_former_arguments,
    is_true,
    options_in,
)
from ._livekit.connections import Limits
from ._livekit.continuation import Pipelines, Work
from ._livekit.http_session import HttpSession
from ._livekit.local_voice import detector_of
from ._livekit.recognize import recognized
from ._livekit.session_keyterms import SessionKeyterms
from ._livekit.stream import SpeechStream
from ._livekit.transform import Transform, Transforming
from ._recording.nothing import NoRecorder
from ._recording.recording import Recorder
from ._telemetry.deployment import Telemetry
from .log import logger

if TYPE_CHECKING:
    from ._transcription.hearing import Progress
    from ._transcription.selection import Channels
    from ._transcription.sources import Source
    from ._transcription.transcript import Transcript

# How long prewarm() waits in the background: a model that sleeps takes minutes to wake.
_PREWARM_TIMEOUT_S = 600.0

# What suits a recording and not a call: nobody waits, and everything is worth another try. More
# is kept for a replay than is sent ahead of its results.
_REPLAY_OF_RECORDING_S = 600.0
_PATIENCE_WITH_RECORDING_S = 30.0
_SPARSE_INTERIMS_S = 1.0


class STT(stt.STT):
    """Speech-to-text by a streaming Whisper deployed on Baseten.

    One instance serves any number of streams at once; an `AgentSession` opens its own.
    """

    def __init__(
        self,
        *,
        model_endpoint: str | None = None,
        model: Model = "whisper",
        api_key: str | None = None,
        model_id: str | None = None,
        chain_id: str | None = None,
        environment: str = "production",
        deployment_id: str | None = None,
        language: NotGivenOr[str] = NOT_GIVEN,
        language_options: Sequence[str] | None = None,
        translate: bool = False,
        enable_partial_transcripts: bool = True,
        partial_transcript_interval_s: NotGivenOr[float] = NOT_GIVEN,
        final_transcript_max_duration_s: int = 29,
        show_word_timestamps: NotGivenOr[bool] = NOT_GIVEN,
        vad_threshold: float = 0.5,
        vad_min_silence_duration_ms: NotGivenOr[int] = NOT_GIVEN,
        vad_speech_pad_ms: NotGivenOr[int] = NOT_GIVEN,
        prompt: str | None = None,
        keyterms: Sequence[str] | None = None,
        use_dynamic_preprocessing: NotGivenOr[bool] = NOT_GIVEN,
        beam_width: NotGivenOr[int] = NOT_GIVEN,
        length_penalty: NotGivenOr[float] = NOT_GIVEN,
        repetition_penalty: NotGivenOr[float] = NOT_GIVEN,
        beam_search_diversity_rate: NotGivenOr[float] = NOT_GIVEN,
        no_repeat_ngram_size: NotGivenOr[int] = NOT_GIVEN,
        enable_diarization: bool = False,
        diarization_granularity: NotGivenOr[Granularity] = NOT_GIVEN,
        stream_id: str | None = None,
        extra_metadata: Mapping[str, Any] | None = None,
        preflight: bool = False,
        drop_hallucinations: bool = False,
        audio_events: bool = False,
        local_vad: bool | vad.VAD = False,
        transform: Transform | None = None,
        replay_buffer_s: float = 60.0,
        drain_timeout_s: float = 5.0,
        cold_start_timeout: float | None = None,
        ping_interval_s: float = 10.0,
        health_check_interval_s: float = 5.0,
        health_check_timeout_s: float = 5.0,
        allow_plaintext: bool = False,
        http_session: aiohttp.ClientSession | None = None,
        record: str | os.PathLike[str] | None = None,
        sample_rate: int = 16000,
        encoding: NotGivenOr[str] = NOT_GIVEN,
        buffer_size_seconds: NotGivenOr[float] = NOT_GIVEN,
    ) -> None:
        """
        Args:
            model_endpoint: WebSocket URL of the deployment, such as
                ``wss://model-XXXXXXXX.api.baseten.co/environments/production/websocket``; taken as
                it is. An HTTP URL copied from the dashboard becomes the WebSocket beside it. Falls
                back to ``model_id``, then ``chain_id``, then ``BASETEN_MODEL_ENDPOINT``.
            model: What is deployed there.
            api_key: Falls back to ``BASETEN_API_KEY``.
            model_id: The model's identifier, for the URL of one of its deployments.
            chain_id: The chain's, where it is a chain.
            environment: Of the model or chain; "development" is the development deployment.
            deployment_id: One deployment, instead of an environment.
            language: BCP-47 tag or ISO 639-1 code in any case, or "auto" to detect it. Default:
                "en", or "auto" with ``language_options`` or ``translate``.
            language_options: Languages that detection chooses from. Needs a Whisper runtime of
                v0.5.0 or newer.
            translate: To English, from whatever is spoken. Events have "en" as their language, and
                what was spoken in `SpeechData.source_languages`. Whisper large-v3 can; the turbo
                model was not trained for it.
            enable_partial_transcripts: Send interim transcripts while somebody speaks.
            partial_transcript_interval_s: Seconds of audio between them. Default 0.5.
            final_transcript_max_duration_s: Seconds after which speech that goes on is finalized
                in parts, 1 to 30. Default 29: at each cut after 30, which is all that Whisper
                hears at once, a quarter of a second was lost.
            show_word_timestamps: Times, and with them confidence, for each word. Default: on. What
                `SpeechEvent.speech_end_time` is exact by.
            vad_threshold: Probability, 0 to 1, from which the server hears speech.
            vad_min_silence_duration_ms: Milliseconds of silence that end an utterance. Default 300.
            vad_speech_pad_ms: Milliseconds of padding around speech; without effect on Whisper.
            prompt: Text that Whisper takes for what was said before: names, spellings, style.
            keyterms: Names and terms to listen for, the most important first. They go into
                Whisper's prompt, which takes 223 tokens; LiveKit's session keyterms are added
                behind them.
            use_dynamic_preprocessing: Of the audio, at the server.
            beam_width: Whisper's decoding; sent only if given, as those below. Engines are built
                for 5 beams if nothing else was asked for.
            length_penalty: See ``beam_width``.
            repetition_penalty: See ``beam_width``.
            beam_search_diversity_rate: See ``beam_width``.
            no_repeat_ngram_size: See ``beam_width``.
            enable_diarization: Tell speakers apart; only chains with a diarizer do.
            diarization_granularity: What carries a speaker.
            stream_id: A UUID by which a chain's log names the first connection. The others have
                ``uuid.uuid5(uuid.UUID(stream_id), "1")``, "2" and so on: no two may have one name.
                Only chains take it.
            extra_metadata: Laid over the metadata last, for fields newer than this package.
            preflight: Emit PREFLIGHT_TRANSCRIPT, for a preemptive answer, once a partial comes
                unchanged and silence has begun. Worth it with a long
                ``vad_min_silence_duration_ms``.
            drop_hallucinations: Make finals empty that the server doubts, or that say words where
                the audio is silent. They are marked in `SpeechData.metadata` in any case.
            audio_events: Take results without a word in them for speech, such as "(music)",
                "[BLANK_AUDIO]" or ".". By default they start no speech and no turn.
            local_vad: Hear voices here, too, with the Silero that LiveKit brings or with a detector
                of yours. START_OF_SPEECH comes as soon as somebody speaks, and an utterance is
                flushed as soon as he stops. For turn detection "stt" and for streams without a
                session; in its other modes LiveKit does so itself.
            transform: A plain function from what was said to what is passed on, to redact or to
                filter: ``transform(text)``, or ``transform(text, words)`` with the words and their
                times. None drops it. It is called for every interim and final, in the event loop,
                before anything is logged, recorded or emitted. What it fails at is dropped.
            replay_buffer_s: Seconds of audio kept for the next connection while there is none;
                32 kB each.
            drain_timeout_s: Seconds without a sign of progress after the end of the input until
                the connection is given up; a second more for each second of audio under way.
            cold_start_timeout: Seconds that the first connection may take while the model wakes.
                Default: as `APIConnectOptions` says, so that a fallback can act.
            ping_interval_s: Seconds of quiet after which the peer is pinged; it is held for dead
                when it does not answer within half as much again. 0 never pings.
            health_check_interval_s: Seconds without a message, while audio flows, after which the
                model is asked for a sign of life. 0 never asks.
            health_check_timeout_s: Seconds it has to answer.
            allow_plaintext: Permit ``ws://`` to another machine: the key and the audio go over
                the wire unencrypted.
            http_session: Used instead of LiveKit's or an own one; never closed here. A private
                certificate authority goes in through its connector, and a proxy through its
                ``proxy``; without a session, HTTPS_PROXY and NO_PROXY are heeded.
            record: Folder, made if need be, into which each call is recorded: the audio, what went
                over the wire and when, everything that was understood. Whoever can read the folder
                can hear the call. The key is in none of it.
            sample_rate: 16000 only: the server hears everything as 16 kHz. Audio that is pushed
                may have any rate.
            encoding: "pcm_s16le" only.
            buffer_size_seconds: Has no effect and never had.

        Raises:
            ValueError: An argument is missing or out of range; the message names it.
        """
        arguments = locals()
        check_former_arguments(sample_rate, encoding, buffer_size_seconds)
        self._options = Options.create(model, **options_in(arguments))
        self._session_keyterms = SessionKeyterms()
        self._preflight = is_true(preflight=preflight)
        self._drop_hallucinations = is_true(drop_hallucinations=drop_hallucinations)
        self._audio_events = is_true(audio_events=audio_events)
        self._local_vad = detector_of(local_vad)
        self._transforming = None if transform is None else Transforming(transform)
        _warn_of_cut_keyterms(self._options)
        _warn_of_doubts(self._options)
        self._limits = Limits(
            patience=Patience(
                probe_after_s=at_least(0, health_check_interval_s=health_check_interval_s),
                probe_timeout_s=above(0, health_check_timeout_s=health_check_timeout_s),
                drain_s=above(0, drain_timeout_s=drain_timeout_s),
            ),
            replay_buffer_s=above(0, replay_buffer_s=replay_buffer_s),
            cold_start_timeout_s=at_least(0, cold_start_timeout=cold_start_timeout or 0.0),
            hold_s=above(0, replay_buffer_s=replay_buffer_s),
        )
        endpoint = Endpoint(
            resolve_url(
                model_endpoint=model_endpoint
                or (None if model_id or chain_id else os.environ.get("BASETEN_MODEL_ENDPOINT")),
                model_id=model_id,
                chain_id=chain_id,
                environment=environment,
                deployment_id=deployment_id,
                allow_plaintext=is_true(allow_plaintext=allow_plaintext),
            ),
            _key(api_key),
        )
        self._recorder = (
            NoRecorder()
            if record is None
            else Recorder(record, endpoint, masks_words=transform is not None)
        )
        self._http = HttpSession(http_session, endpoint.url)
        self._telemetry = Telemetry(self._options.model, endpoint.url)
        self._connector = Connector(
            endpoint,
            self._http.current,
            ping_interval_s=at_least(0, ping_interval_s=ping_interval_s),
            telemetry=self._telemetry,
        )
        self._streams = weakref.WeakSet[SpeechStream]()
        self._pipelines = Pipelines()
        self._is_closed = False
        super().__init__(capabilities=_capabilities(self._options))

    @property
    def model(self) -> str:
        return self._options.model

    @property
    def provider(self) -> str:
        return "Baseten"

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        continues: SpeechStream | None = None,
    ) -> SpeechStream:
        """Open a stream, with a copy of the options as they are now.

        Args:
            language: For this stream only.
            conn_options: Retries, and seconds for each handshake.
            continues: A stream of this instance that has failed. The new one goes on with the
                audio that has no final, as after a lost connection: with its flushes, its times
                and, if it had ended, the end of its input. Held for ``replay_buffer_s`` after the
                failure. An `AgentSession` needs no such argument.

        Raises:
            ValueError: The model does not know ``language``; ``continues`` has not failed, is
                another instance's, or somebody goes on from it already.
            TypeError: ``continues`` is no `SpeechStream`.
            RuntimeError: This instance is closed.
        """
        self._check_open()
        options = self._options_here
        if is_given(language):
            options = options.updated(language=language)
        if continues is not None:
            work = self._work_of(continues)
        elif (before := self._pipelines.failed_before()) is not None:
            work = before.hand_over(keeps_times=True)
        else:
            work = self._new_work(options, self._limits)
        return self._opened(work, options, self._limits, conn_options, detector=self._local_vad)

    def _work_of(self, failed: SpeechStream) -> Work:
        """
        Raises:
            TypeError, ValueError: No stream of this instance can go on from ``failed``.
        """
        if not isinstance(failed, SpeechStream):
            raise TypeError(f"continues={failed!r}: must be a stream that has failed")
        if failed not in self._streams:
            raise ValueError("this stream is not of this STT")
        return failed.hand_over(keeps_times=False)

    def _new_work(self, options: Options, limits: Limits) -> Work:
        return Work(self._recognition(options, limits), EventClock())

    async def transcribe(
        self,
        source: Source,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        track: int | None = None,
        channels: Channels = "mix",
        start_s: float = 0.0,
        duration_s: float | None = None,
        at_pace_of_speech: bool = False,
        interims: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> Transcript:
        """Transcribe a recording: sound, or the sound of a video, as fast as the server takes it.

        It needs the extra ``cli``.

        Args:
            source: A file's name, an http or https URL, or an open binary file.
            language: For this recording only.
            track: Which of several sound tracks, from 1. Default: FFmpeg's choice.
            channels: "mix" makes one of all, "split" takes each for a speaker, on a connection of
                its own; a number is that channel, from 1.
            start_s: Where to begin, in seconds from the start. Times stay those of the recording.
            duration_s: How much to transcribe, in seconds. Default: to the end.
            at_pace_of_speech: Send as if somebody spoke now.
            interims: Report them to ``on_progress``; they cost the server work.
            on_progress: Told how far it is, and each segment as it becomes final.
            conn_options: Retries, and seconds for each handshake.

        Raises:
            ValueError: An argument is out of range.
            MediaError: The recording cannot be read; a `ValueError`.
            TranscriptionError: It was not heard to its end; an `APIError` that has what was heard.
            RuntimeError: This instance is closed.
        """
        self._check_open()
        from ._transcription.hearing import transcribed  # not before: FFmpeg is a large library
        from ._transcription.selection import Selection
        from ._transcription.sources import short_name_of

        options = self._options_here.updated(enable_partial_transcripts=interims)
        if interims and not at_pace_of_speech:
            options = options.updated(partial_transcript_interval_s=_SPARSE_INTERIMS_S)
        if is_given(language):
            options = options.updated(language=language)
        patience = replace(
            self._limits.patience,
            drain_s=max(_PATIENCE_WITH_RECORDING_S, self._limits.patience.drain_s),
            probe_timeout_s=max(_PATIENCE_WITH_RECORDING_S, self._limits.patience.probe_timeout_s),
        )
        limits = replace(
            self._limits,
            patience=patience,
            replay_buffer_s=max(_REPLAY_OF_RECORDING_S, self._limits.replay_buffer_s),
            hold_s=0.0,
        )
        return await transcribed(
            source,
            lambda: self._opened(
                self._new_work(options, limits),
                options,
                limits,
                conn_options,
                short_name_of(source),
            ),
            selection=Selection(
                track,
                channels,
                at_least(0, start_s=start_s),
                None if duration_s is None else above(0, duration_s=duration_s),
            ),
            at_pace_of_speech=at_pace_of_speech,
            has_interims=interims,
            on_progress=on_progress or (lambda progress: None),
        )

    def _opened(
        self,
        work: Work,
        options: Options,
        limits: Limits,
        conn_options: APIConnectOptions,
        source: str = "",
        detector: vad.VAD | None = None,
    ) -> SpeechStream:
        stream = SpeechStream(
            stt=self,
            connector=self._connector,
            work=work,
            pipelines=self._pipelines,
            options=options,
            limits=limits,
            conn_options=conn_options,
            recorder=self._recorder,
            telemetry=self._telemetry,
            source=source,
            detector=detector,
        )
        self._streams.add(stream)
        self._pipelines.opened(stream)
        self._session_keyterms.opened(stream)
        return stream

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        self._check_open()
        options = self._options_here
        if is_given(language):
            options = options.updated(language=language)
        if not (dialect_for(options).holds_back_sentences or self._connector.has_one_ready):
            # They would only queue before the final: with them, 12 s of speech took 6.5 s, not 1.6.
            options = options.updated(enable_partial_transcripts=False)
        request_id = f"baseten-{uuid.uuid4().hex[:12]}"
        recording = self._recorder.start(request_id, options)
        recognition = self._recognition(
            options,
            # All of the audio is kept, because the only connection is sent all of it.
            replace(self._limits, replay_buffer_s=1.0 + calculate_audio_duration(buffer)),
        )
        telemetry = self._telemetry.stream(recognition)
        try:
            data = await recognized(
                buffer,
                recognition,
                self._connector,
                timeout_s=conn_options.timeout,
                recording=recording,
                telemetry=telemetry,
            )
            event = stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT, request_id, [data])
            recording.said(event, 0.0)
        except BasetenError as e:
            error = to_api_error(e)
            recording.failed(error, recoverable=False)
            raise error from None
        finally:
            recording.close()
            telemetry.close()
        return event

    def update_options(self, **changes: Unpack[OptionChanges]) -> None:
        """Change options of this instance and of its live streams; see the constructor.

        A live stream opens a second connection with the new options and moves over to it at the
        next pause in the speech, or in five seconds; no word is lost or said twice by it. Calls
        close together are one change, and one that changes nothing costs nothing.

        Raises:
            ValueError: An argument is out of range; nothing has changed then.
            RuntimeError: This instance is closed.
        """
        self._check_open()
        given = changed_options(changes)
        options = self._options.updated(**given)
        _warn_of_doubts(options, self._options)
        self._options = options
        self._capabilities = _capabilities(options)
        if given.keys() & {"keyterms", "prompt"}:
            _warn_of_cut_keyterms(self._options_here)
        for stream in list(self._streams):
            keyterms = self._keyterms_with(self._session_keyterms.of(stream))
            stream.use_options(stream.options.updated(**{**given, "keyterms": keyterms}))

    def prewarm(self) -> None:
        """Open a connection in the background that the next stream takes over.

        It wakes a model that sleeps. Kept for a minute once it is open.

        Raises:
            RuntimeError: This instance is closed.
        """
        self._check_open()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            logger.debug("prewarm() outside an event loop: nothing to open a connection with")
            return
        self._connector.prepare(self._new_session, timeout_s=_PREWARM_TIMEOUT_S)

    async def warm_up(self, timeout: float = 600.0) -> float:
        """Wait until the model is awake and has answered; the next stream takes that connection.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            How long it took, in seconds.

        Raises:
            APITimeoutError: It did not within ``timeout``.
            APIError: It never will: a wrong key, no such model, refused options.
            RuntimeError: This instance is closed.
        """
        self._check_open()
        try:
            return await self._connector.warmed(self._new_session, timeout_s=timeout)
        except BasetenError as e:
            raise to_api_error(e) from None

    async def aclose(self) -> None:
        """Close every stream of this instance, and whatever connections it holds, for good."""
        self._is_closed = True
        for stream in list(self._streams):
            await stream.aclose()
            stream.unfinished.lose()
        self._streams.clear()
        await self._connector.aclose()
        await self._http.aclose()
        await self._recorder.aclose()

    async def __aenter__(self) -> Self:
        return self

    def _check_open(self) -> None:
        """
        Raises:
            RuntimeError: This instance is closed.
        """
        if self._is_closed:
            raise RuntimeError("this STT is closed: make another one")

    def _new_session(self) -> Session:
        return Session(dialect_for(self._options_here), self._limits.patience)

    def _recognition(self, options: Options, limits: Limits) -> Recognition:
        return Recognition(
            dialect_for(options),
            limits.patience,
            replay_s=limits.replay_buffer_s,
            preflight=self._preflight,
            drop_hallucinations=self._drop_hallucinations,
            audio_events=self._audio_events,
            change=None if self._transforming is None else self._transforming.for_stream(),
        )

    def _update_session_keyterms(self, keyterms: list[str]) -> None:
        """LiveKit's hook: a session's keyterms, kept apart from the user's own."""
        self._session_keyterms.tell(keyterms)
        _warn_of_cut_keyterms(self._options_with(keyterms))
        for stream in list(self._streams):
            told = self._keyterms_with(self._session_keyterms.of(stream))
            stream.use_options(stream.options.updated(keyterms=told))

    @property
    def _options_here(self) -> Options:
        """The options for whatever the running task opens."""
        return self._options_with(self._session_keyterms.here)

    def _options_with(self, session_keyterms: Sequence[str]) -> Options:
        return self._options.updated(keyterms=self._keyterms_with(session_keyterms))

    def _keyterms_with(self, session_keyterms: Sequence[str]) -> tuple[str, ...]:
        """The user's keyterms first and a session's after them."""
        return tuple(unique((*self._options.keyterms, *session_keyterms)))


def _warn_of_cut_keyterms(options: Options) -> None:
    """
    Raises:
        ValueError: ``options`` cannot be said to their model.
    """
    cut = dialect_for(options).cut_keyterms
    if cut:
        logger.warning(
            "%d of %d keyterms do not fit into Whisper's prompt of %d tokens and were left "
            "out; the first ones given go first",
            len(cut),
            len(options.keyterms),
            MAX_PROMPT_TOKENS,
            extra={"lk.pii.keyterms": cut},
        )


def _warn_of_doubts(options: Options, before: Options | None = None) -> None:
    """Warn of what a deployment may not be able to do, and was not asked ``before``.

    Raises:
        ValueError: ``options`` cannot be said to their model.
    """
    doubts = dialect_for(options).doubts
    known = () if before is None else dialect_for(before).doubts
    for doubt in doubts:
        if doubt not in known:
            logger.warning("%s", doubt)


def _capabilities(options: Options) -> stt.STTCapabilities:
    return stt.STTCapabilities(
        streaming=True,
        interim_results=options.enable_partial_transcripts,
        diarization=options.enable_diarization,
        aligned_transcript="word" if options.show_word_timestamps else False,
        offline_recognize=True,
        keyterms=True,
        manual_flush=True,
    )


def _key(api_key: str | None) -> str:
    key = api_key or os.environ.get("BASETEN_API_KEY")
    if not key:
        raise ValueError("no Baseten API key: pass api_key or set BASETEN_API_KEY")
    return key
