"""One connection's worth of protocol, as a state machine. No I/O, no clock, no async.

The caller owns the socket and the time. Each method says what just happened, `now` in seconds of
any monotonic clock; after it: send `outgoing`, take `received_frames`, wait until `deadline`.

    CONNECTING --opened--> WAITING --attach--> STREAMING --finished--> DRAINING --last--> CLOSED
        |                     |                    |                       |
        +----------------------------------- failure ----------------------+--> FAILED

WAITING has sent its metadata and belongs to no stream yet: a connection opened ahead of a call, or
for changed options. What outlives the connection is in `_recognition`.

Audio is not pushed through a session: it reads the stream's journal at the pace at which the socket
takes it. A session for a new connection reads the same journal again from its start, which is all
that a replay is.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from dataclasses import dataclass

from .clocks import BYTES_PER_SAMPLE, SAMPLE_RATE_HZ, ConnectionClock
from .errors import (
    BasetenError,
    DrainTimedOut,
    LocalProtocolError,
    MetadataRefused,
    ServerFailed,
    SessionLost,
    UnreadableFrame,
    WrongDialect,
)
from .flushes import Flushes
from .journal import Journal
from .wire import Alive, Dialect, EndAudio, Failure, ServerFrame, Transcript


class State(enum.Enum):
    CONNECTING = "connecting"
    WAITING = "waiting"
    STREAMING = "streaming"
    DRAINING = "draining"  # end of audio asked for; the last finals are still owed
    CLOSED = "closed"
    FAILED = "failed"


class Input(enum.Enum):
    START = "start"
    ATTACH = "attach"
    FINISH = "finish"
    LAST = "end"
    FAIL = "fail"


# Every legal move. What is absent is refused, so a forgotten row fails loudly.
TRANSITIONS: dict[tuple[State, Input], State] = {
    (State.CONNECTING, Input.START): State.WAITING,
    (State.CONNECTING, Input.FAIL): State.FAILED,
    (State.WAITING, Input.ATTACH): State.STREAMING,
    (State.WAITING, Input.FAIL): State.FAILED,
    (State.STREAMING, Input.FINISH): State.DRAINING,
    (State.STREAMING, Input.FAIL): State.FAILED,
    (State.DRAINING, Input.LAST): State.CLOSED,
    (State.DRAINING, Input.FAIL): State.FAILED,
}
ENDED = (State.CLOSED, State.FAILED)  # no set: it would hash the state, for each push of audio

# Close codes with which a server that never got past the metadata turns it down: 1011 from the
# runtime (docs/protocol.md, invalid metadata).
_REFUSAL_CODES = frozenset({1011})
_TRIAL_SAMPLES = 5 * SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Patience:
    """How long a session waits before it holds the server for dead.

    Attributes:
        probe_after_s: Quiet from the server, while audio flows, before it is asked for a sign of
            life; 0 never asks.
        probe_timeout_s: For the answer to that.
        drain_s: For the answer to the end of audio. Once that is acknowledged, for each sign of
            progress, another second for every second of audio that has no final yet.
    """

    probe_after_s: float = 5.0
    probe_timeout_s: float = 5.0
    drain_s: float = 5.0

    # A buffer is transcribed whole and is 30 s at most; slower than speech is not a live model.
    MAX_OWED_S = 30.0

    @property
    def least_s(self) -> float:
        """The shortest of these waits."""
        return min(self.probe_after_s or math.inf, self.probe_timeout_s, self.drain_s)


class Session:
    """
    Args:
        dialect: How this deployment is talked to.
        patience: The bounds for a server that does not answer.
    """

    def __init__(self, dialect: Dialect, patience: Patience) -> None:
        self.dialect = dialect
        self._controls: list[str | bytes] = []
        self._frames: list[ServerFrame] = []
        self._journal = Journal()
        self._flushes = Flushes()
        self._finish_at: int | None = None
        self._end_sent_s: float | None = None
        self._acknowledged = False
        self._requested: deque[int] = (
            deque()
        )  # where each request stood that a flagged final answers
        self._last_answer: Transcript | None = None
        self._progress_s = 0.0
        self._quiet_since_s: float | None = None
        self._probed_s: float | None = None
        self._probes = 0
        self.clock = ConnectionClock(0)
        self.cursor = 0
        self.patience = patience
        self.state = State.CONNECTING
        self.error: BasetenError | None = None
        self.is_proven = False  # the server has taken the metadata
        self.has_results = False
        self.unreadable: dict[str, int] = {}

    # What just happened

    def start(self, now: float) -> None:
        """The socket is open: the metadata goes first, and a question that only it can follow.

        The server says nothing to metadata that it likes; the answer to the question is the proof.
        """
        self._step(Input.START)
        self._controls.append(self.dialect.opening())
        self._probe(now)

    def attach(self, journal: Journal, flushes: Flushes, now: float) -> None:
        """Carry a stream, from the first sample its journal holds, and what it wants flushed."""
        self._step(Input.ATTACH)
        self._journal = journal
        self._flushes = flushes
        self._flushes.restart()
        self.cursor = journal.start
        self.clock = ConnectionClock(journal.start)
        self._progress_s = now

    def finish(self, at: int) -> None:
        """No audio comes after stream sample ``at``."""
        self._step(Input.FINISH)
        self._finish_at = at

    def receive(self, text: str, now: float) -> None:
        """A text message arrived. One that cannot be read is counted and otherwise ignored."""
        if self.state in ENDED:
            return  # crossed our close on the wire
        self._quiet_since_s = self._probed_s = None
        self._progress_s = now
        try:
            frame = self.dialect.decode(text)
        except UnreadableFrame as e:
            self.unreadable[str(e)] = self.unreadable.get(str(e), 0) + 1
            return
        except WrongDialect as e:
            self.fail(e)
            return
        if isinstance(frame, Transcript) and frame.is_flush:
            if frame == self._last_answer and (frame.text or frame.number is not None):
                return  # the same answer once more
            self._last_answer = frame
            if self._requested:
                frame = frame._replace(settles=self._requested.popleft())
        self._frames.append(frame)
        if isinstance(frame, Failure) and not frame.recoverable:
            self.fail(ServerFailed(frame.error_type, frame.message, permanent=frame.permanent))
            return
        if isinstance(frame, (Alive, EndAudio, Transcript)):
            self.is_proven = True
        self.has_results = self.has_results or isinstance(frame, Transcript)
        self._acknowledged = self._acknowledged or isinstance(frame, EndAudio)
        if self._end_sent_s is not None and self.dialect.is_last(frame) and not self._requested:
            self._step(Input.LAST)

    def receive_close(self, code: int, reason: str = "") -> None:
        """The socket is closed, by whomever."""
        if self.state in ENDED:
            return
        # Where no question can be asked, a server that listened for a while has taken the metadata.
        is_untried = self.dialect.can_probe or self.clock.sent < _TRIAL_SAMPLES
        if code in _REFUSAL_CODES and not self.is_proven and is_untried:
            self.fail(MetadataRefused(code, reason, sent=self.dialect.described()))
        else:
            self.fail(SessionLost(code, reason))

    def fail(self, error: BasetenError) -> None:
        if self.state not in ENDED:
            self._step(Input.FAIL)
            self.error = error

    def tick(self, now: float) -> None:
        """Time has passed; past a deadline, ask whether the server lives, or give it up."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return
        if self.state is State.DRAINING and self._end_sent_s is not None:
            self.fail(DrainTimedOut(now - self._end_sent_s, acknowledged=self._acknowledged))
        elif self._probed_s is not None:
            waited_s = now - self._probed_s
            self.fail(SessionLost(1006, f"no sign of life from the model for {waited_s:.1f} s"))
        else:
            self._probe(now)

    # What to do about it

    def take_outgoing(self, now: float, limit: int) -> list[str | bytes]:
        """The next frames for the socket, ``limit`` of them or a few more; fewer if that is all."""
        out, self._controls = self._controls, []
        if self.state is not State.STREAMING and self.state is not State.DRAINING:
            return out
        while len(out) < limit:
            unsent = self._flushes.unsent
            stop = unsent[0].position if unsent else self._finish_at
            end = self._journal.stop if stop is None else stop
            out += self._whole_chunks(end, limit - len(out))
            if stop is None or len(out) >= limit:
                break
            if end > self.cursor:
                out.append(self._last_chunk(end - self.cursor))
            if unsent:
                out += self._flush_request(now)
            elif self._end_sent_s is None:
                out.append(self.dialect.end_of_audio())
                self._note_request()
                self._end_sent_s = self._progress_s = now
            else:
                break
        if out and self._quiet_since_s is None:
            self._quiet_since_s = now
        return out

    def take_frames(self) -> list[ServerFrame]:
        out, self._frames = self._frames, []
        return out

    @property
    def deadline(self) -> float | None:
        """When to call `expired`, or None if nothing is awaited."""
        if self.state is State.DRAINING and self._end_sent_s is not None:
            wait_s = self.patience.drain_s
            if self._acknowledged or not self.dialect.acknowledges_end:
                wait_s += min(self.owed_s, self.patience.MAX_OWED_S)
            return self._progress_s + wait_s
        if self.state in ENDED or self.state is State.CONNECTING or not self.patience.probe_after_s:
            return None
        if self._probed_s is not None:
            # A server that never answered yet may still be warming up behind its open socket.
            wait_s = self.patience.probe_timeout_s * (1 if self.is_proven else 2)
            return self._probed_s + wait_s
        if self._quiet_since_s is not None and self.dialect.can_probe:
            return self._quiet_since_s + self.patience.probe_after_s
        return None

    @property
    def owed_s(self) -> float:
        """Seconds of audio sent that no final accounts for."""
        return max(0, self.cursor - self._journal.start) / SAMPLE_RATE_HZ

    def _whole_chunks(self, end: int, limit: int) -> list[str | bytes]:
        chunk_samples = self.dialect.chunk_samples
        count = min((end - self.cursor) // chunk_samples, limit)
        if count <= 0:
            return []
        pcm = self._read(count * chunk_samples)
        size = chunk_samples * BYTES_PER_SAMPLE
        return [self.dialect.audio(pcm[at : at + size]) for at in range(0, len(pcm), size)]

    def _last_chunk(self, samples: int) -> str | bytes:
        pcm = self._read(samples)
        missing = self.dialect.chunk_samples - samples
        if missing and self.dialect.pads_chunks:
            pcm += bytes(missing * BYTES_PER_SAMPLE)
            self.clock.add_silence(missing)
        return self.dialect.audio(pcm)

    def _read(self, samples: int) -> bytes:
        pcm = self._journal.read(self.cursor, self.cursor + samples)
        self.cursor += samples
        self.clock.add_audio(samples)
        return pcm

    def _flush_request(self, now: float) -> list[str | bytes]:
        frames, silence_samples = self._flushes.send_next(self.dialect, now)
        self.clock.add_silence(silence_samples)
        self._note_request()
        return frames

    def _note_request(self) -> None:
        if self.dialect.answers_each_end:
            self._requested.append(self.cursor)

    def _probe(self, now: float) -> None:
        if self.dialect.can_probe:
            self._probes += 1
            self._controls.append(self.dialect.probe(f"probe-{self._probes}"))
            self._probed_s = now

    def _step(self, happened: Input) -> None:
        try:
            self.state = TRANSITIONS[self.state, happened]
        except KeyError:
            raise LocalProtocolError(f"cannot {happened.value} while {self.state.value}") from None
