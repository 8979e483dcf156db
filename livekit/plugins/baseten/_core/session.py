"""One connection's worth of protocol, as a state machine. No I/O, no clock, no async.

The caller owns the socket and the time. It tells the session what happened (`start`, `receive`,
`receive_close`, `tick`), with `now` in seconds of any monotonic clock. After each it sends what
`take_outgoing` returns, reads what `take_frames` returns, and calls `tick` at the `deadline`.

    CONNECTING --start--> WAITING --attach--> STREAMING --finish--> DRAINING --end--> CLOSED
        |                    |                    |                     |
        +---------------------------------- fail -+---------------------+--> FAILED

In WAITING the metadata has been sent and there is no stream yet: the connection was opened before a
call, or for changed options. What outlives the connection is in `recognition`.

No audio is pushed into a session. It reads the stream's journal as fast as the socket takes it. The
session of a new connection reads the same journal from its start again; that is the replay.
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
from .ordering import is_marked
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


# Every move that is allowed; any other raises.
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
ENDED = (State.CLOSED, State.FAILED)  # a set would hash the state at each push of audio

# The close code of a server that does not accept the metadata (docs/protocol.md, invalid metadata).
_REFUSAL_CODE = 1011

# A server that took so much audio has accepted the metadata, where it cannot be asked.
_TRIAL_SAMPLES = 5 * SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Patience:
    """How long a session waits for a server that does not answer.

    Attributes:
        probe_after_s: While audio is sent and nothing comes back: the wait until the server is
            asked for a sign of life. 0 for never.
        probe_timeout_s: The wait for the answer to that.
        drain_s: The wait for the answer to the end of audio, and then for each further message.
            Once the end is acknowledged, it is a second longer for each second of audio that has
            no final.
    """

    probe_after_s: float = 5.0
    probe_timeout_s: float = 5.0
    drain_s: float = 5.0

    # The server's buffer holds 30 s at most, and no live model is slower than speech.
    MAX_OWED_S = 30.0

    @property
    def least_s(self) -> float:
        """The shortest of these waits."""
        return min(self.probe_after_s or math.inf, self.probe_timeout_s, self.drain_s)


class Session:
    """
    Args:
        dialect: How this deployment is talked to.
        patience: How long to wait for a server that does not answer.

    Attributes:
        number: Of the connections with one `Dialect.stream_id`, which one it is, from 0.
        cursor: Stream position up to which audio was sent.
        clock: From this connection's samples to the stream's.
        error: Why it FAILED.
        is_proven: The server has accepted the metadata.
        unreadable: How often which kind of message could not be read.
    """

    is_in_a_hurry = False  # what messages do to its deadline, they do by seconds

    def __init__(self, dialect: Dialect, patience: Patience) -> None:
        self.dialect = dialect
        self.patience = patience
        self.state = State.CONNECTING
        self.number = 0
        self.error: BasetenError | None = None
        self.clock = ConnectionClock(0)
        self.cursor = 0
        self.is_proven = False
        self.has_results = False
        self.unreadable: dict[str, int] = {}
        self._controls: list[str | bytes] = []
        self._frames: list[ServerFrame] = []
        self._journal = Journal()
        self._flushes = Flushes()
        self._finish_at: int | None = None
        self._end_sent_s: float | None = None
        self._acknowledged = False
        # The position of each end that was requested, until a flagged final answers it.
        self._requested: deque[int] = deque()
        self._last_answer: Transcript | None = None
        self._progress_s = 0.0
        self._quiet_since_s: float | None = None
        self._probed_s: float | None = None
        self._probes = 0

    # What happens

    def start(self, now: float) -> None:
        """Send the metadata, and a probe behind it: the socket is open.

        The server does not answer metadata that it accepts. It answers the probe only if it did.
        """
        self._step(Input.START)
        self._controls.append(self.dialect.opening(self.number))
        self._probe(now)

    def attach(self, journal: Journal, flushes: Flushes, now: float) -> None:
        """Carry a stream from the start of its journal on, and send all its flushes (again)."""
        self._step(Input.ATTACH)
        self._journal = journal
        self._flushes = flushes
        self._flushes.restart()
        self.cursor = journal.start
        self.clock = ConnectionClock(journal.start)
        self._progress_s = now

    def finish(self, at: int) -> None:
        """End the audio at stream sample ``at``."""
        self._step(Input.FINISH)
        self._finish_at = at

    def receive(self, text: str, now: float) -> None:
        """Take a text message. One that cannot be read is counted and otherwise ignored."""
        if self.state in ENDED:
            return  # it was on its way when the session ended
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
            is_repeated = is_marked(frame) or not self._requested
            if frame == self._last_answer and is_repeated:
                return  # the same answer, sent twice
            self._last_answer = frame
            if self._requested:
                frame = frame._replace(settles=self._requested.popleft())
        self._frames.append(frame)
        if isinstance(frame, Transcript):
            self.is_proven = self.has_results = True
        elif isinstance(frame, Failure) and not frame.recoverable:
            self.fail(ServerFailed(frame.error_type, frame.message, permanent=frame.permanent))
            return
        elif isinstance(frame, (Alive, EndAudio)):
            self.is_proven = True
            self._acknowledged = self._acknowledged or isinstance(frame, EndAudio)
        if self._end_sent_s is not None and self.dialect.is_last(frame) and not self._requested:
            self._step(Input.LAST)

    def receive_close(self, code: int, reason: str = "") -> None:
        """Take the end of the connection, whichever side closed it."""
        if self.state in ENDED:
            return
        is_untried = self.dialect.can_probe or self.clock.sent < _TRIAL_SAMPLES
        if code == _REFUSAL_CODE and not self.is_proven and is_untried:
            self.fail(MetadataRefused(code, reason, sent=self.dialect.described()))
        else:
            self.fail(SessionLost(code, reason))

    def fail(self, error: BasetenError) -> None:
        if self.state not in ENDED:
            self._step(Input.FAIL)
            self.error = error

    def tick(self, now: float) -> None:
        """Once the deadline is over, ask the server for a sign of life, or fail."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return
        if self.state is State.DRAINING and self._end_sent_s is not None:
            self.fail(DrainTimedOut(now - self._end_sent_s, acknowledged=self._acknowledged))
        elif self._probed_s is not None:
            waited_s = now - self._probed_s
            message = f"no sign of life from the model for {waited_s:.1f} s"
            self.fail(SessionLost(1006, message, given_up=True))
        else:
            self._probe(now)

    # What comes of it

    def take_outgoing(self, now: float, limit: int) -> list[str | bytes]:
        """The next frames for the socket: ``limit`` or a few more, or all that there are."""
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
        """When to call `tick`, or None if nothing is awaited."""
        if self.state is State.DRAINING and self._end_sent_s is not None:
            wait_s = self.patience.drain_s
            if self._acknowledged or not self.dialect.acknowledges_end:
                wait_s += min(self.owed_s, self.patience.MAX_OWED_S)
            return self._progress_s + wait_s
        if self.state in ENDED or self.state is State.CONNECTING or not self.patience.probe_after_s:
            return None
        if self._probed_s is not None:
            # A server that has not answered yet may still be starting behind its open socket.
            wait_s = self.patience.probe_timeout_s * (1 if self.is_proven else 2)
            return self._probed_s + wait_s
        if self._quiet_since_s is not None and self.dialect.can_probe:
            return self._quiet_since_s + self.patience.probe_after_s
        return None

    @property
    def owed_s(self) -> float:
        """Seconds of audio that were sent and have no final."""
        return max(0, self.cursor - self._journal.start) / SAMPLE_RATE_HZ

    def _whole_chunks(self, end: int, limit: int) -> list[str | bytes]:
        chunk_samples = self.dialect.chunk_samples
        count = min((end - self.cursor) // chunk_samples, limit)
        if count <= 0:
            return []
        pcm, size = self._read(count * chunk_samples), chunk_samples * BYTES_PER_SAMPLE
        audio = self.dialect.audio
        return [audio(pcm[at : at + size]) for at in range(0, len(pcm), size)]

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
