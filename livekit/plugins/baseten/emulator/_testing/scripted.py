"""A Baseten with a script, for tests of agents: it runs in a thread and is told what to hear.

In a thread of its own, so that a test needs no particular event loop for it, nor any: the same
server is there for pytest-asyncio in either mode, for anyio and for `asyncio.run`, and an agent
that blocks its loop does not stop it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from types import TracebackType

from typing_extensions import Unpack

from .. import faults
from .._models.dialects import Dialect, check_model
from .._models.speakers import Diarizer
from .._models.voice import AmplitudeDetector, SileroDetector, VoiceDetectorFactory
from .._recognizers.recognizer import Recognizer, Word
from .._recognizers.turns import CONFIDENCE, FLOOR, Turn, TurnRecognizer
from .._serving.handshake import Handshake
from .._serving.serve import ServeOptions, serve
from .._serving.server import Server
from .._serving.waiting import wait_until
from ..faults.plan import Planned, entry_of, fault_of
from .arguments import check_list_of, check_number, words_of
from .received import Received
from .threaded import ServerThread


class ScriptedServer:
    """A Baseten whose every utterance is what a test says it is. A context manager, not async.

    Args:
        plan: What goes wrong: the n-th handshake gets the n-th entry, later ones none. See
            `fail_next`.
        model: Which dialect is spoken.
        recognizer: What hears in place of the script, such as a `WhisperRecognizer`.
        voice_detector: Makes a voice detector for each connection; if not given, whatever is
            louder than `floor` is speech, and what Silero takes for it where `recognizer` hears.
        floor: The magnitude up to which a sample is silence.
        diarizer: Whether speakers can be told apart. Here no final waits for that, as it does on
            Baseten, unless a `Diarizer` says how long.
        options: What else `serve` takes, such as `api_key`, `runtime`, `aligner`.

    Raises:
        TypeError: Something of it is of a wrong kind, or there is no such option.
        ValueError: There is no such model, or no such fault in words.
    """

    def __init__(
        self,
        *plan: Planned,
        model: Dialect = "whisper",
        recognizer: Recognizer | None = None,
        voice_detector: VoiceDetectorFactory | None = None,
        floor: int = FLOOR,
        diarizer: bool | Diarizer = False,
        **options: Unpack[ServeOptions],
    ) -> None:
        check_model(model, diarizer=diarizer, runtime=options.get("runtime", "current"))
        self.model = model
        self._has_diarizer = bool(diarizer)
        self._plans = [entry_of(given) for given in plan]  # all that there ever were
        self._recognizer = TurnRecognizer(floor=floor)
        self._has_script = recognizer is None
        if voice_detector is None and recognizer is not None:
            voice_detector = SileroDetector
        serving = serve(
            *self._plans,
            model=model,
            recognizer=recognizer or self._recognizer,
            voice_detector=voice_detector or (lambda: AmplitudeDetector(floor)),
            diarizer=Diarizer(max_wait_s=0) if diarizer is True else diarizer,
            **options,
        )
        self._thread = ServerThread(serving)
        self._server: Server

    def __enter__(self) -> ScriptedServer:
        self._server = self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.stop()

    # What is going to happen.

    @property
    def url(self) -> str:
        """Where it is: `STT(model_endpoint=...)`."""
        return self._server.url

    def hear(
        self,
        said: str | Sequence[Word] = "",
        *,
        after_s: float = 0.0,
        partials: Sequence[str] | None = None,
        language: str | None = None,
        speaker: str | None = None,
        confidence: float = CONFIDENCE,
    ) -> Turn:
        """Take the next utterance that has no words yet for this.

        Args:
            said: What is said in it, as text or as words with times from the start of the sound.
                Nothing is a noise: the final comes, and is empty.
            after_s: How long the final takes, in seconds, beyond the silence that ends the
                utterance. What is said next on that connection waits for it.
            partials: What interims say, one after the other; the first words if not given.
            language: What is detected, where the client asks for that: a code for Whisper, an
                English name for Qwen3-ASR.
            speaker: Who says it. Needs `diarizer=True`, and a client that asks.
            confidence: The probability of each word, from 0 to 1, where words are not given.

        Returns:
            The turn, whose `is_answered` says whether its final was made.

        Raises:
            TypeError: An argument is of a wrong kind.
            ValueError: A number is out of range, or a speaker is given where nobody tells
                speakers apart.
        """
        if not self._has_script:
            raise ValueError("hear(...): there is no script, the recognizer hears for itself")
        words = words_of(said)
        if partials is not None:
            check_list_of(str, partials=partials)
        check_number(after_s=after_s)
        check_number(confidence=confidence, most=1.0)
        if not self._has_diarizer and (speaker or any(word.speaker for word in words)):
            raise ValueError("speaker=...: the server tells nobody apart without diarizer=True")
        turn = Turn(
            text=said if isinstance(said, str) else " ".join(word.text for word in words),
            words=words,
            after_s=after_s,
            partials=None if partials is None else tuple(partials),
            language=language,
            speaker=speaker,
            confidence=confidence,
        )
        self._recognizer.waiting.append(turn)
        return turn

    def fail_next(self, *plan: Planned) -> None:
        """Let the next handshake get the first of these, the one after it the second, and so on.

        Args:
            plan: A fault each, a tuple of them for one connection, or `None` for one that goes
                well. A fault may be in the words of the command line: ``"reset@3000"``.

        Raises:
            TypeError: Something else, such as a fault's class.
            ValueError: A fault in words that there is not.
        """
        entries = [entry_of(given) for given in plan]
        self._plans += entries
        self._thread.call(lambda: self._server.plan.extend(entries))

    def fail_now(self, fault: faults.Fault | str) -> None:
        """Let a fault strike the connection that is open, its samples counted from now.

        Raises:
            RuntimeError: No connection is open.
            TypeError: It is no fault.
            ValueError: It is a fault of the handshake.
        """
        struck = fault_of(fault)

        def inflict() -> None:
            is_open = [each for each in self._server.connections if each.is_open]
            if not is_open:
                raise RuntimeError("no connection is open: fail_next is for the one to come")
            is_open[-1].inflict(struck)

        self._thread.call(inflict)
        self._plans.append(struck)

    def wake(self) -> None:
        """Let handshakes go on that `faults.Park` holds back."""
        self._thread.call(self._server.wake)

    # What has happened.

    @property
    def turns(self) -> list[Turn]:
        """The utterances that were heard, in order, each once; unscripted ones too."""
        return list(self._recognizer.turns)

    @property
    def connections(self) -> list[Received]:
        """What came over each connection, oldest first."""
        return [Received(connection) for connection in list(self._server.connections)]

    @property
    def handshakes(self) -> list[Handshake]:
        """Every upgrade that was asked for, refused ones included."""
        return list(self._server.handshakes)

    @property
    def pending(self) -> list[faults.Entry]:
        """The faults that have not struck: planned, or without their occasion until now.

        An occasion is a count of samples, or something to change: `Duplicate` needs a final.
        """
        planned = [entry for entry in list(self._server.plan) if entry is not None]
        return [*planned, *self._server.pending]

    async def until(self, predicate: Callable[[], object], timeout_s: float = 10.0) -> None:
        """Wait until something is so, looking again at every frame that goes either way, and often.

        Args:
            predicate: Looks at this server, or at anything else, in the event loop of whoever
                waits.
            timeout_s: How long to wait, in seconds.

        Raises:
            AssertionError: It has not become so. It says what was received.
            TypeError: ``predicate`` is no plain function.
        """
        __tracebackhide__ = True
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def look() -> None:
            with contextlib.suppress(RuntimeError):  # the test's loop is closed
                loop.call_soon_threadsafe(changed.set)

        self._server.watch(look)
        try:
            await wait_until(predicate, changed, timeout_s)
        except asyncio.TimeoutError as e:
            raise AssertionError(f"{e}\n{self.report()}") from None
        finally:
            self._server.unwatch(look)

    def assert_heard(self, *texts: str) -> None:
        """Just these utterances were heard to their ends, in this order. Noises have no text."""
        __tracebackhide__ = True
        heard = [turn.text for turn in self.turns if turn.is_answered]
        assert heard == list(texts), f"heard {heard}, expected {list(texts)}\n{self.report()}"

    def assert_script_is_over(self) -> None:
        """Every scripted turn was heard to its end, and nothing else was."""
        __tracebackhide__ = True
        missing = [turn.text for turn in [*self.turns, *self._unheard] if not turn.is_answered]
        assert not missing, f"not heard to the end: {missing}\n{self.report()}"
        unscripted = sum(not turn.is_scripted for turn in self.turns)
        assert not unscripted, f"{unscripted} utterances without a script\n{self.report()}"

    def assert_asked(self, **settings: object) -> None:
        """The last connection was asked for this: names and values as they are on the wire.

        `None` is for what was not sent.
        """
        __tracebackhide__ = True
        if not settings:
            raise TypeError('assert_asked() asks nothing: name a setting, audio_language="de"')
        assert self.connections, f"no connection was made\n{self.report()}"
        asked = {name: self.connections[-1].asked(name) for name in settings}
        assert asked == settings, f"asked for {asked}, expected {settings}\n{self.report()}"

    def assert_connections(self, count: int) -> None:
        """So many connections were accepted, ended ones included."""
        __tracebackhide__ = True
        made = len(self.connections)
        assert made == count, f"{made} connections, expected {count}\n{self.report()}"

    def assert_struck(self) -> None:
        """Every fault has struck, and there were some: the test is about what it says."""
        __tracebackhide__ = True
        assert self._plans, f"no fault was planned\n{self.report()}"
        assert not self.pending, f"not struck: {self.pending}\n{self.report()}"

    def report(self) -> str:
        """What was received, in a few lines. The key is not in it."""
        statuses = [handshake.status or "parked" for handshake in self.handshakes]
        lines = [f"{self.model} at {self.url}, handshakes: {statuses or 'none'}"]
        lines += [f"connection {n}: {each}" for n, each in enumerate(self.connections, 1)]
        for number, turn in enumerate(self.turns, 1):
            what = repr(turn.text) if turn.is_scripted else "nothing is scripted for it"
            lines.append(f"utterance {number}: {what}{'' if turn.is_answered else ', not ended'}")
        lines += [f"not heard: {turn.text!r}" for turn in self._unheard]
        lines += [f"not struck: {fault}" for fault in self.pending]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<ScriptedServer {self.model} {self.url}>"

    @property
    def _unheard(self) -> list[Turn]:
        return list(self._recognizer.waiting)
