"""The steps of `check`, one after the other, until one fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from livekit.agents import APIConnectOptions, APIError

from ..._connection.connector import Connector
from ..._core.endpoint import Endpoint
from ..._core.errors import BasetenError, MetadataRefused
from ..._core.options import Options
from ..._core.wire import dialect_for
from ..._livekit.api_errors import to_api_error
from ..._livekit.http_session import HttpSession, proxy_for
from ..._telemetry.deployment import Telemetry
from ...stt import STT
from . import diagnosis, network, sentence
from .hearing import Hearing, listen
from .refused_fields import refused_fields
from .steps import Steps

_ANSWER_WITHIN_S = 10.0  # from the last word; who is slower is of no use in a conversation

# Of the sentence, to be taken for it. A small model mishears a word or two of the eight.
_ALIKE = 0.5


class Wrong(Exception):
    """What is wrong and what to do about it, in one line.

    Attributes:
        reason: The same in a word.
    """

    def __init__(self, told: str, reason: diagnosis.Reason) -> None:
        super().__init__(told)
        self.reason = reason


class Checkup:
    """
    Args:
        speech_to_text: Makes an `STT` of the deployment. Each that it made is closed again.
        endpoint: Where it is.
        options: What the deployment is to recognize with.
        steps: Told of each step.
        wait_s: How long a model may take to answer the handshake.
        answer_within_s: How long after the last word a final may come.

    Attributes:
        measured: What was measured so far.
        hearing: What came of the sentence.
    """

    def __init__(
        self,
        speech_to_text: Callable[[], STT],
        endpoint: Endpoint,
        options: Options,
        steps: Steps,
        *,
        wait_s: float,
        answer_within_s: float = _ANSWER_WITHIN_S,
    ) -> None:
        self.measured = diagnosis.Measured()
        self.hearing = Hearing()
        self._new_stt = speech_to_text
        self._stt = speech_to_text()
        self._endpoint = endpoint
        self._options = options
        self._steps = steps
        self._wait_s = wait_s
        self._answer_within_s = answer_within_s

    async def run(self) -> None:
        """
        Raises:
            Wrong: The deployment is not right for a voice agent.
        """
        try:
            await self._reach()
            await self._open()
            await self._speak()
        finally:
            self._steps.stop()
            await self._stt.aclose()
        self._judge()

    def report(self) -> dict[str, Any]:
        """All of it, for a machine to read."""
        return {
            "url": self._endpoint.url,
            "model": self._options.model,
            "steps": self._steps.record,
            "spoken": sentence.TEXT,
            "heard": self.hearing.text,
            "interims": self.hearing.interims,
            "measured": asdict(self.measured),
        }

    # The network

    async def _reach(self) -> None:
        host, port = network.host_and_port(self._endpoint.url)
        is_secure = self._endpoint.url.startswith("wss://")
        step = "network"
        proxy = proxy_for(self._endpoint.url)
        if proxy is not None:
            host, port = network.host_and_port(proxy)
        try:
            self._steps.doing(f"connecting to {host}:{port}")
            way = await network.reached(host, port)
            self.measured.round_trip_s = way.round_trip_s
            self.measured.is_here = way.is_local
            where = host if host == way.address else f"{host} at {way.address}"
            if proxy is not None:
                self._steps.done(step, f"through the proxy {where}, port {port}", "note")
                return
            self._steps.done(step, f"{where}, port {port}, {_shown(way.round_trip_s)} away")
            step = "TLS"
            if is_secure:
                self._steps.done(step, await network.verified(host, port))
            elif way.is_local:
                self._steps.done(step, "none needed on this machine")
            else:
                self._steps.done(step, "none: key and audio go in clear", "note")
        except network.Unreachable as e:
            self._steps.done(step, "failed", "failed")
            is_tls = isinstance(e, network.NotVerified)
            raise Wrong(str(e), "tls" if is_tls else "network") from None

    # The WebSocket

    async def _open(self) -> None:
        try:
            with self._waiting():
                took_s = await self._warmed()
        except APIError as e:
            raise await self._not_opened(e, e.__context__) from None
        self._steps.done("handshake", "a WebSocket")
        self._steps.done("key", "accepted")
        told = (
            "accepted"
            if dialect_for(self._options).can_probe
            else "sent; this model does not confirm it"
        )
        self._steps.done("metadata", told)
        if took_s > diagnosis.ASLEEP_S:
            self.measured.woke_s = took_s
            await self._stt.aclose()
            self._stt = self._new_stt()  # once more, as it is for a call when the model is awake
            try:
                took_s = await self._stt.warm_up(timeout=self._wait_s)
            except APIError as e:
                raise await self._not_opened(e, e.__context__) from None
        self.measured.connect_s = took_s

    async def _warmed(self) -> float:
        try:
            return await self._stt.warm_up(timeout=self._wait_s)
        except APIError as e:
            if not isinstance(e.__context__, MetadataRefused):
                raise
        return await self._stt.warm_up(timeout=self._wait_s)  # once may be chance

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        async def tell() -> None:
            loop, told = asyncio.get_running_loop(), False
            started_s = loop.time()
            while True:
                waited_s = loop.time() - started_s
                self._steps.doing(f"waiting for an answer: {waited_s:.0f} of {self._wait_s:g} s")
                await asyncio.sleep(1.0)
                if not told and waited_s > diagnosis.ASLEEP_S - 1.0 and self._wait_s > waited_s + 1:
                    told = True
                    self._steps.done(
                        "handshake",
                        f"no connection yet; the model may be waking. Waiting {self._wait_s:g} s "
                        "at most",
                        "note",
                    )

        telling = asyncio.create_task(tell(), name="baseten-check-waiting")
        try:
            yield
        finally:
            telling.cancel()

    async def _not_opened(self, error: APIError, cause: BaseException | None) -> Wrong:
        step, how = diagnosis.failed_step(cause)
        if step not in ("handshake", "key"):
            self._steps.done("handshake", "a WebSocket")
            self._steps.done("key", "accepted")
        self._steps.done(step, how, "failed")
        if isinstance(cause, MetadataRefused) and dialect_for(self._options).can_probe:
            return await self._metadata_refused(error)
        return self._explained(error, cause)

    def _explained(self, error: APIError, cause: BaseException | None) -> Wrong:
        told = diagnosis.explained(error, cause, url=self._endpoint.url, wait_s=self._wait_s)
        return Wrong(told, diagnosis.reason_of(cause))

    async def _metadata_refused(self, error: APIError) -> Wrong:
        self._steps.doing("finding out which field is refused")
        http_session = HttpSession(None, self._endpoint.url)
        connector = Connector(
            self._endpoint,
            http_session.current,
            ping_interval_s=0,
            telemetry=Telemetry(self._options.model, self._endpoint.url),
        )
        try:
            refused = await refused_fields(connector, self._options, wait_s=self._wait_s)
        except BasetenError as e:
            return self._explained(to_api_error(e), e)
        finally:
            await connector.aclose()
            await http_session.aclose()
        if refused is None:
            return Wrong(
                "the deployment closes each connection with code 1011, whatever its metadata: it is"
                " broken, or no Whisper streaming model; look at its logs on Baseten",
                "metadata",
            )
        if not refused:
            return Wrong(
                "the deployment refuses the metadata as a whole, and no field of it alone: leave "
                f"out what you set yourself. {error.message}",
                "metadata",
            )
        return Wrong(
            f"the deployment's runtime refuses {', '.join(refused)}: deploy a newer "
            "version of the model, or leave out what of it you set yourself",
            "metadata",
        )

    # The sentence

    async def _speak(self) -> None:
        self._steps.doing(f"speaking: {sentence.TEXT}")
        options = APIConnectOptions(max_retry=0, timeout=self._wait_s)
        stream = self._stt.stream(conn_options=options)
        try:
            await listen(
                self._stt,
                stream,
                self.hearing,
                answer_within_s=self._answer_within_s,
                shown=lambda text: self._steps.doing(f"hears: {text}"),
            )
        except APIError as e:
            self._steps.done(*diagnosis.failed_step(self.hearing.cause), "failed")
            why = self._explained(e, self.hearing.cause)
            told = diagnosis.reported(self.hearing.warnings)
            if told:
                raise Wrong(f"{str(why).rstrip('.')}.{told}", why.reason) from None
            raise why from None
        finally:
            await stream.aclose()
            self.measured.late_s = self.hearing.late_s
        self.measured.first_interim_s = self.hearing.first_interim_s
        self.measured.final_s = self.hearing.final_s
        self.measured.flush_s = self.hearing.flush_s

    def _judge(self) -> None:
        why = self._not_heard()
        heard = "nothing" if not self.hearing.text else f'"{self.hearing.text}"'
        self._steps.done("speaking", f'"{sentence.TEXT}"')
        self._steps.done("hearing", heard, "failed" if why else "ok")
        if why:
            text = self.hearing.text
            is_other = bool(text) and sentence.likeness(text or "") < _ALIKE
            told = why + diagnosis.reported(self.hearing.warnings)
            raise Wrong(told, "wrong_words" if is_other else "no_transcript")
        interims = self.hearing.interims
        self._steps.done("interims", str(interims or "none"), "ok" if interims else "failed")
        if unsuitable := diagnosis.unsuitable(self.measured):
            said = "; ".join(unsuitable.values())
            raise Wrong(f"Not right for a voice agent: {said}.", next(iter(unsuitable)))

    def _not_heard(self) -> str:
        hearing, in_time = self.hearing, f"within {self._answer_within_s:g} s"
        if not hearing.text and hearing.interims:
            return (
                f"the model sent interims, and no final {in_time} of the last word: "
                f"{diagnosis.where_to_look(self.measured)}."
            )
        if not hearing.text:
            return (
                f"the deployment took the audio, and no transcript came {in_time} of the last "
                f"word: {diagnosis.where_to_look(self.measured)}."
            )
        if sentence.likeness(hearing.text) < _ALIKE:
            return (
                f'the model heard something else than "{sentence.TEXT}": is it a speech model for '
                "English, and nothing in --extra-metadata that says otherwise?"
            )
        if hearing.flush_s is None:
            return f"flush() got no final {in_time}: {diagnosis.where_to_look(self.measured)}."
        return ""


def _shown(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
