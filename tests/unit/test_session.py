"""One connection's protocol: moves, framing, flushes, deadlines. No socket and no clock."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livekit.plugins.baseten._core.errors import (
    ConnectFailed,
    DrainTimedOut,
    LocalProtocolError,
    MetadataRefused,
    ServerFailed,
    SessionLost,
    WrongDialect,
)
from livekit.plugins.baseten._core.flushes import Flushes
from livekit.plugins.baseten._core.journal import Journal
from livekit.plugins.baseten._core.options import Options
from livekit.plugins.baseten._core.session import (
    ENDED,
    TRANSITIONS,
    Input,
    Patience,
    Session,
    State,
)
from livekit.plugins.baseten._core.wire import Alive, EndAudio, Failure, Transcript, dialect_for

CHUNK_BYTES = 1024
PATIENCE = Patience(probe_after_s=5.0, probe_timeout_s=3.0, drain_s=2.0)
ACKNOWLEDGED = '{"type":"end_audio","body":{"status":"acknowledged"}}'
FINISHED = '{"type":"end_audio","body":{"status":"finished"}}'
REFUSAL = "Internal Server Error (in model/chainlet)."


def alive(trace_id: str = "probe-1") -> str:
    return json.dumps({"type": "health_check", "trace_id": trace_id, "body": {"healthy": True}})


def final(text: str = "hi", **more: Any) -> str:
    segments = [{"start_time": 0.0, "end_time": 1.0, "text": text}]
    return json.dumps({"type": "transcription", "is_final": True, "segments": segments, **more})


def error(*, recoverable: bool, message: str = "it broke") -> str:
    body = {"error_type": "STREAM_ERROR", "message": message, "recoverable": recoverable}
    return json.dumps({"type": "error", "body": body})


def new_session(patience: Patience = PATIENCE, **options: Any) -> Session:
    return Session(dialect_for(Options.create("whisper", **options)), patience)


def state_of(session: Session) -> State:
    """Asked anew: a type checker believes that an attribute stays what it was."""
    return session.state


def in_state(state: State) -> tuple[Session, Journal]:
    """A session that has come to ``state`` as sessions do; one step at a time."""
    session, journal = new_session(), Journal()
    if state is State.CONNECTING:
        return session, journal
    session.start(0.0)
    session.take_outgoing(0.0, 100)
    if state is State.FAILED:
        session.receive_close(1006)
    if state in (State.WAITING, State.FAILED):
        return session, journal
    session.attach(journal, Flushes(), 0.0)
    if state is State.STREAMING:
        return session, journal
    session.finish(journal.stop)
    session.take_outgoing(0.0, 100)
    if state is State.CLOSED:
        session.receive(FINISHED, 0.0)
    assert session.state is state
    return session, journal


def streaming(flushes: Flushes | None = None, **options: Any) -> tuple[Session, Journal]:
    """As a call finds it: attached to a stream, the metadata sent, the server proven."""
    session, journal = new_session(**options), Journal()
    session.start(0.0)
    session.attach(journal, Flushes() if flushes is None else flushes, 0.0)
    session.take_outgoing(0.0, 100)
    session.receive(alive(), 0.0)
    session.take_frames()
    return session, journal


def everything(session: Session, now: float = 0.0) -> list[str | bytes]:
    out: list[str | bytes] = []
    while frames := session.take_outgoing(now, 32):
        out += frames
    return out


def audio(frames: list[str | bytes]) -> list[bytes]:
    return [frame for frame in frames if isinstance(frame, bytes)]


def texts(frames: list[str | bytes]) -> list[Any]:
    return [json.loads(frame) for frame in frames if isinstance(frame, str)]


# Moves

MOVES: dict[Input, Callable[[Session], None]] = {
    Input.START: lambda session: session.start(0.0),
    Input.ATTACH: lambda session: session.attach(Journal(), Flushes(), 0.0),
    Input.FINISH: lambda session: session.finish(0),
    Input.LAST: lambda session: session.receive(FINISHED, 0.0),
    Input.FAIL: lambda session: session.fail(SessionLost(1006)),
}
# What comes from outside may come too late, or unasked: that is no mistake of ours.
FORGIVEN = {(state, Input.FAIL) for state in ENDED} | {
    (state, Input.LAST) for state in State if state is not State.DRAINING
}


@pytest.mark.parametrize("happened", Input)
@pytest.mark.parametrize("state", State)
def test_every_input_in_every_state_moves_as_the_table_says_or_is_refused(
    state: State, happened: Input
) -> None:
    session, _ = in_state(state)
    assert session.state is state
    if (state, happened) in FORGIVEN:
        MOVES[happened](session)
        assert session.state is state
    elif (state, happened) in TRANSITIONS:
        MOVES[happened](session)
        assert session.state is TRANSITIONS[state, happened]
    else:
        with pytest.raises(LocalProtocolError, match=f"cannot {happened.value}"):
            MOVES[happened](session)
        assert session.state is state


def test_nothing_leads_out_of_an_end_and_every_other_state_leads_to_one() -> None:
    for state in State:
        targets = {to for (origin, _), to in TRANSITIONS.items() if origin is state}
        assert (not targets) == (state in ENDED)
        assert state in ENDED or State.FAILED in targets


# The opening


def test_the_metadata_goes_first_and_then_a_question_that_only_it_can_follow() -> None:
    session, journal = new_session(), Journal()
    journal.push(bytes(CHUNK_BYTES * 3))
    assert session.take_outgoing(0.0, 100) == []
    session.start(0.0)
    session.attach(journal, Flushes(), 0.0)
    opening, question, *rest = everything(session)
    assert opening == session.dialect.opening()
    assert json.loads(str(question))["type"] == "health_check"
    assert rest == [bytes(CHUNK_BYTES)] * 3


def test_a_connection_in_waiting_sends_its_metadata_once_and_no_audio() -> None:
    session = new_session()
    session.start(0.0)
    assert len(everything(session)) == 2
    session.attach(Journal(), Flushes(), 9.0)
    assert everything(session) == []


# Framing


@given(
    st.lists(st.integers(0, 1500), max_size=20),
    st.integers(1, 40),
    st.data(),
)
def test_whatever_the_pushes_are_the_frames_are_512_samples_and_the_audio_is_theirs(
    pushes: list[int], limit: int, data: st.DataObject
) -> None:
    session, journal = streaming()
    sent, pushed = list[str | bytes](), b""
    for samples in pushes:
        pcm = (len(pushed) // 2 + np.arange(samples)).astype("<u2").tobytes()
        journal.push(pcm)
        pushed += pcm
        if data.draw(st.booleans()):
            sent += session.take_outgoing(0.0, limit)
    sent += everything(session)
    assert all(len(frame) == CHUNK_BYTES for frame in audio(sent))
    whole = len(pushed) // CHUNK_BYTES * CHUNK_BYTES
    assert b"".join(audio(sent)) == pushed[:whole]
    session.finish(journal.stop)
    rest = everything(session)
    assert all(len(frame) == CHUNK_BYTES for frame in audio(rest))
    padded = pushed[whole:] + bytes(-len(pushed) % CHUNK_BYTES)
    assert b"".join(audio(rest)) == padded
    assert texts(rest) == [{"type": "end_audio"}]
    assert session.clock.sent * 2 == whole + len(padded)
    assert session.clock.to_stream(session.clock.sent) == journal.stop == session.cursor


def test_a_limit_bounds_what_goes_out_at_once() -> None:
    session, journal = streaming()
    journal.push(bytes(CHUNK_BYTES * 1000))
    assert len(session.take_outgoing(0.0, 32)) == 32
    assert len(everything(session)) == 968


def test_a_new_connection_starts_with_what_the_journal_still_has() -> None:
    session, journal = new_session(), Journal()
    journal.push(np.arange(2000, dtype="<i2").tobytes())
    journal.forget(700)
    session.start(0.0)
    session.attach(journal, Flushes(), 0.0)
    (first, *_) = audio(everything(session))
    assert first == np.arange(700, 1212, dtype="<i2").tobytes()
    assert session.clock.to_stream(0) == 700
    assert session.clock.to_stream(512) == 1212


# Flushes


def test_a_flush_pads_adds_silence_asks_and_goes_on_with_the_audio_behind_it() -> None:
    flushes = Flushes()
    session, journal = streaming(flushes)
    journal.push(np.full(700, 7, "<i2").tobytes())
    flushes.ask(journal.stop, 0.0)
    journal.push(np.full(1024, 9, "<i2").tobytes())
    sent = everything(session)
    heard = np.frombuffer(b"".join(audio(sent)), "<i2")
    end = session.dialect.end_of_utterance(1)
    assert all(len(frame) == CHUNK_BYTES for frame in audio(sent))
    assert heard[:700].tolist() == [7] * 700
    assert not heard[700 : 1024 + end.silence_samples].any()
    assert heard[1024 + end.silence_samples :].tolist() == [9] * 1024
    asked_at = sent.index(end.frame)
    assert len(audio(sent[:asked_at])) == 2 + end.silence_samples // 512
    assert [flush.trace_id for flush in flushes.waiting] == [end.trace_id]


def test_made_up_silence_is_in_connection_time_and_not_in_the_streams() -> None:
    flushes = Flushes()
    session, journal = streaming(flushes)
    journal.push(bytes(700 * 2))
    flushes.ask(journal.stop, 0.0)
    journal.push(bytes(512 * 2))
    everything(session)
    silence = session.dialect.end_of_utterance(1).silence_samples
    assert session.clock.sent == 1024 + silence + 512
    assert session.clock.to_stream(700) == 700
    assert session.clock.to_stream(1024 + silence) == 700
    assert session.clock.to_stream(session.clock.sent) == 700 + 512


def test_flushes_go_out_in_order_and_before_the_end() -> None:
    flushes = Flushes()
    session, journal = streaming(flushes)
    journal.push(bytes(100 * 2))
    flushes.ask(100, 0.0)
    flushes.ask(100, 0.0)
    journal.push(bytes(50 * 2))
    session.finish(journal.stop)
    said = texts(everything(session))
    assert [text.get("trace_id") for text in said] == ["flush-1", "flush-2", None]
    assert said[-1] == {"type": "end_audio"}


def test_a_flush_waits_for_the_audio_before_it() -> None:
    flushes = Flushes()
    session, journal = streaming(flushes)
    journal.push(bytes(CHUNK_BYTES * 40))
    flushes.ask(journal.stop, 0.0)
    first = session.take_outgoing(0.0, 32)
    assert len(audio(first)) == 32
    assert texts(first) == []
    assert len(texts(everything(session))) == 1


def test_flushes_without_an_answer_are_sent_again_on_a_new_connection() -> None:
    flushes = Flushes()
    flushes.ask(100, 0.0)
    session, journal = new_session(), Journal()
    flushes.send_next(session.dialect, 0.0)
    flushes.note_heard("flush-1", 0.0)
    assert flushes.deadline is not None
    journal.push(bytes(100 * 2))
    session.start(0.0)
    session.attach(journal, flushes, 0.0)
    assert flushes.deadline is None
    assert "flush-1" in str(everything(session)[-1])


# What is received


def test_frames_are_handed_over_once_in_order() -> None:
    session, _ = streaming()
    session.receive(final("one"), 1.0)
    session.receive(alive(), 1.0)
    assert [type(frame) for frame in session.take_frames()] == [Transcript, Alive]
    assert session.take_frames() == []


def test_what_cannot_be_read_is_counted_by_kind_and_otherwise_ignored() -> None:
    session, _ = streaming()
    for text in ("<html>", "<html>", "[]", "5", final()):
        session.receive(text, 1.0)
    assert state_of(session) is State.STREAMING
    assert sorted(session.unreadable.values()) == [1, 1, 2]
    assert len(session.take_frames()) == 1


@pytest.mark.parametrize("text", [alive(), final(), final("", is_final=False), ACKNOWLEDGED])
def test_an_answer_that_only_accepted_metadata_can_have_is_the_proof(text: str) -> None:
    session = new_session()
    session.start(0.0)
    assert not session.is_proven
    session.receive(text, 0.1)
    assert session.is_proven


@pytest.mark.parametrize("text", ["<html>", error(recoverable=True), '{"type":"hello"}'])
def test_other_messages_prove_nothing(text: str) -> None:
    session = new_session()
    session.start(0.0)
    session.receive(text, 0.1)
    assert not session.is_proven


def test_only_results_are_results() -> None:
    session, _ = streaming()
    session.receive(ACKNOWLEDGED, 1.0)
    assert not session.has_results
    session.receive(final(), 1.0)
    assert session.has_results


def test_a_recoverable_error_is_a_frame_and_nothing_more() -> None:
    session, _ = streaming()
    session.receive(error(recoverable=True), 1.0)
    assert state_of(session) is State.STREAMING
    assert isinstance(session.take_frames()[0], Failure)


@pytest.mark.parametrize(("message", "permanent"), [("it broke", False), ("too short", True)])
def test_an_error_that_is_not_ends_the_session_with_its_text(message: str, permanent: bool) -> None:
    session, _ = streaming()
    session.receive(error(recoverable=False, message=message), 1.0)
    assert state_of(session) is State.FAILED
    assert isinstance(session.error, ServerFailed)
    assert message in str(session.error)
    assert session.error.permanent is permanent


def test_another_protocol_ends_the_session() -> None:
    session = new_session()
    session.start(0.0)
    session.receive('{"type":"session.created"}', 0.1)
    assert isinstance(session.error, WrongDialect)


# How it ends


def test_1011_before_any_proof_is_refused_metadata_and_shows_it() -> None:
    session = new_session(vad_threshold=0.75, prompt="secret of the call")
    session.start(0.0)
    session.receive_close(1011, REFUSAL)
    assert isinstance(session.error, MetadataRefused)
    assert "0.75" in str(session.error)
    assert REFUSAL in str(session.error)
    assert "secret of the call" not in str(session.error)


def test_1011_after_it_is_a_lost_connection() -> None:
    session, _ = streaming()
    session.receive_close(1011, REFUSAL)
    assert type(session.error) is SessionLost
    assert session.error.code == 1011


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1005, 1006, 1012, 1013, 4000])
def test_another_code_is_a_lost_connection_whenever_it_comes(code: int) -> None:
    for state in (State.CONNECTING, State.WAITING, State.STREAMING, State.DRAINING):
        session, _ = in_state(state)
        session.receive_close(code, "why")
        assert state_of(session) is State.FAILED
        assert type(session.error) is SessionLost
        assert (session.error.code, session.error.reason) == (code, "why")


def test_the_acknowledgement_is_not_the_end() -> None:
    session, _ = in_state(State.DRAINING)
    session.receive(ACKNOWLEDGED, 0.1)
    session.receive(final(), 0.2)
    assert state_of(session) is State.DRAINING
    session.receive(FINISHED, 0.3)
    assert state_of(session) is State.CLOSED
    assert session.error is None
    kinds = [type(frame) for frame in session.take_frames()]
    assert kinds == [EndAudio, Transcript, EndAudio]


def test_finished_before_the_end_was_asked_for_is_not_the_end() -> None:
    session, journal = streaming()
    session.receive(FINISHED, 0.1)
    assert state_of(session) is State.STREAMING
    journal.push(bytes(10))
    session.finish(journal.stop)
    session.receive(FINISHED, 0.2)  # crossed the question on the wire
    assert state_of(session) is State.DRAINING


@pytest.mark.parametrize("state", sorted(ENDED, key=str))
def test_after_the_end_nothing_happens_any_more(state: State) -> None:
    session, journal = in_state(state)
    session.take_frames()
    error_before = session.error
    journal.push(bytes(CHUNK_BYTES * 4))
    session.receive(final(), 5.0)
    session.receive("<html>", 5.0)
    session.receive_close(1011)
    session.fail(ConnectFailed("late"))
    session.tick(1e9)
    assert session.state is state
    assert session.error is error_before
    assert session.take_frames() == []
    assert session.unreadable == {}
    assert session.take_outgoing(5.0, 100) == []
    assert session.deadline is None


# Deadlines


def test_before_it_is_open_there_is_nothing_to_wait_for() -> None:
    assert new_session().deadline is None


def test_a_server_that_never_answered_has_twice_the_time() -> None:
    session = new_session()
    session.start(100.0)
    assert session.deadline == 100.0 + 2 * 3.0
    session.tick(105.9)
    assert state_of(session) is State.WAITING
    session.tick(106.0)
    assert state_of(session) is State.FAILED
    assert "no sign of life" in str(session.error)


def test_quiet_while_audio_flows_makes_it_ask_and_silence_upon_that_ends_it() -> None:
    session, journal = streaming()
    assert session.deadline is None
    journal.push(bytes(CHUNK_BYTES))
    everything(session, now=10.0)
    journal.push(bytes(CHUNK_BYTES))
    everything(session, now=12.0)
    assert session.deadline == 15.0
    session.tick(14.99)
    assert everything(session, now=14.99) == []
    session.tick(15.0)
    assert [text["type"] for text in texts(everything(session, now=15.0))] == ["health_check"]
    assert session.deadline == 18.0
    session.tick(17.99)
    assert state_of(session) is State.STREAMING
    session.tick(18.0)
    assert state_of(session) is State.FAILED
    assert type(session.error) is SessionLost


def test_any_message_is_a_sign_of_life() -> None:
    for text in (alive("whatever"), final(), "<html>", error(recoverable=True)):
        session, journal = streaming()
        journal.push(bytes(CHUNK_BYTES))
        everything(session, now=10.0)
        session.tick(15.0)
        session.receive(text, 16.0)
        assert session.deadline is None
        journal.push(bytes(CHUNK_BYTES))
        everything(session, now=20.0)
        assert session.deadline == 25.0


def test_without_audio_nobody_asks() -> None:
    session, _ = streaming()
    session.tick(1e6)
    assert everything(session, now=1e6) == []
    assert session.deadline is None


def test_questions_are_told_apart() -> None:
    session, journal = streaming()
    ids = set()
    for now in (10.0, 20.0, 30.0):
        journal.push(bytes(CHUNK_BYTES))
        everything(session, now=now)
        session.tick(now + 5.0)
        (question,) = texts(everything(session, now=now + 5.0))
        ids.add(question["trace_id"])
        session.receive(alive(question["trace_id"]), now + 6.0)
    assert len(ids) == 3


def test_a_patience_that_never_asks_never_does() -> None:
    session, journal = new_session(Patience(probe_after_s=0)), Journal()
    session.start(0.0)
    session.attach(journal, Flushes(), 0.0)
    journal.push(bytes(CHUNK_BYTES))
    everything(session)
    assert session.deadline is None
    session.tick(1e6)
    assert state_of(session) is State.STREAMING


def draining(pushed_s: float = 0.0) -> Session:
    session, journal = streaming()
    journal.push(bytes(round(pushed_s * 32_000)))
    session.finish(journal.stop)
    everything(session, now=100.0)
    return session


def test_the_end_is_awaited_so_long_and_no_longer() -> None:
    session = draining()
    assert session.deadline == 102.0
    session.tick(101.99)
    assert state_of(session) is State.DRAINING
    session.tick(102.0)
    assert isinstance(session.error, DrainTimedOut)
    assert not session.error.acknowledged


def test_each_sign_of_progress_gives_it_time_for_the_audio_it_owes() -> None:
    session = draining(pushed_s=4.0)
    assert session.deadline == 102.0
    session.receive(ACKNOWLEDGED, 101.0)
    assert session.deadline == 101.0 + 2.0 + 4.0
    session.receive(final("", is_final=False), 105.0)
    assert session.deadline == 105.0 + 2.0 + 4.0
    session.tick(111.0)
    assert isinstance(session.error, DrainTimedOut)
    assert session.error.acknowledged


def test_no_more_than_one_buffer_is_ever_owed() -> None:
    session = draining(pushed_s=90.0)
    session.receive(ACKNOWLEDGED, 101.0)
    assert session.deadline == 101.0 + 2.0 + Patience.MAX_OWED_S


def test_the_end_is_not_awaited_before_it_could_be_asked_for() -> None:
    session, journal = streaming()
    journal.push(bytes(CHUNK_BYTES * 100))
    session.finish(journal.stop)
    session.take_outgoing(100.0, 32)
    assert state_of(session) is State.DRAINING
    assert session.deadline == 105.0  # for a sign of life, as before
    everything(session, now=103.0)
    assert session.deadline == 105.0  # now for the end, two seconds after it was asked for
    session.tick(105.0)
    assert isinstance(session.error, DrainTimedOut)


def test_what_is_owed_is_what_was_sent_and_has_no_final() -> None:
    session, journal = streaming()
    assert session.owed_s == 0
    journal.push(bytes(32_000))
    session.take_outgoing(0.0, 10)
    assert session.owed_s == pytest.approx(10 * 0.032)
    journal.forget(512 * 4)
    assert session.owed_s == pytest.approx(6 * 0.032)
    assert new_session().owed_s == 0
