"""Speakers, from a chain with a diarizer: held-back sentences, null languages, late frames."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from kit import grammar
from kit.client import Kind, frame, metadata_of, new_stt, of, push
from kit.loopback import Listener, client, listening

from livekit.agents import stt
from livekit.agents.stt import MultiSpeakerAdapter
from livekit.plugins.baseten._core import stalls
from livekit.plugins.baseten._core.utterance import Phase
from livekit.plugins.baseten.emulator import (
    CodedRecognizer,
    CodedSpeech,
    Diarizer,
    Server,
    Word,
    coded_speech,
    faults,
    serve,
)

PAUSE = 12_000


class Talk:
    """A conversation in coded audio. "word/B" is said by B, "|" is a pause; A says the rest."""

    blocking = False

    def __init__(self, text: str, rest: int = 9600) -> None:
        layout: list[tuple[int, int]] = []
        self.words: list[tuple[str, str]] = []
        gap = PAUSE
        for token in text.split():
            if token == "|":
                gap = PAUSE
                continue
            word, _, speaker = token.partition("/")
            self.words.append((word, speaker or "A"))
            layout.append((gap, 4000))
            gap = 800
        self.speech: CodedSpeech = coded_speech(layout, trailing_samples=rest, first_word=1001)
        coded = [word.text for word in self.speech.words]
        self._said = dict(zip(coded, self.words, strict=True))
        self._recognizer = CodedRecognizer(None)

    def recognize(self, pcm: bytes, *, is_final: bool) -> Sequence[Word]:
        heard = self._recognizer.recognize(pcm, is_final=is_final)
        return [
            Word(
                self._said[word.text.partition("!")[0]][0],
                word.start_s,
                word.end_s,
                word.prob,
                self._said[word.text.partition("!")[0]][1],
            )
            for word in heard
        ]

    def check(self, events: list[stt.SpeechEvent]) -> None:
        """Every word once, in its place, and by whoever said it."""
        grammar.check(events)
        words = [word for final in spoken(events) for word in final.words or []]
        assert [(str(word), word.speaker_id) for word in words] == self.words
        for word, coded in zip(words, self.speech.words, strict=True):
            assert word.start_time == pytest.approx(coded.start_s, abs=0.033)
        for final in spoken(events):
            assert final.text == " ".join(final.words or [])


def spoken(events: list[stt.SpeechEvent]) -> list[stt.SpeechData]:
    """The finals with words in them."""
    found = [event.alternatives[0] for event in of(Kind.FINAL_TRANSCRIPT, events)]
    return [data for data in found if data.text]


def said(events: list[stt.SpeechEvent]) -> list[tuple[str | None, str]]:
    return [(data.speaker_id, data.text) for data in spoken(events)]


def has_said(listener: Listener, word: str) -> bool:
    return word in listener.said()


# Finals wait for their speakers until the end of the audio; a test that goes on in mid-call has no
# such patience.
AT_ONCE = Diarizer(max_wait_s=0)

SENTENCES: dict[str, Any] = {"enable_diarization": True, "diarization_granularity": "sentence"}


async def heard(
    talk: Talk, *plan: faults.Entry, flush: bool = False, **options: Any
) -> tuple[list[stt.SpeechEvent], Listener]:
    async with (
        serve(*plan, recognizer=talk, diarizer=True) as server,
        client(server, **{"enable_diarization": True, **options}) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(talk.speech.pcm)
        if flush:
            listener.stream.flush()
        listener.stream.end_input()
        return await listener.ended(), listener


# What is asked for


@pytest.mark.parametrize("is_on", [True, False])
def test_the_capability_is_declared_when_it_is_on(is_on: bool) -> None:
    assert new_stt(enable_diarization=is_on).capabilities.diarization is is_on


def test_turning_it_on_declares_it() -> None:
    speech_to_text = new_stt()
    speech_to_text.update_options(enable_diarization=True)
    assert speech_to_text.capabilities.diarization


@pytest.mark.parametrize("granularity", ["word", "segment", "sentence", "split_segment"])
async def test_the_server_is_asked_for_it(granularity: Any) -> None:
    speech_to_text = new_stt(enable_diarization=True, diarization_granularity=granularity)
    params = (await metadata_of(speech_to_text))["whisper_params"]
    assert params["enable_diarization"] is True
    assert params["diarization_granularity"] == granularity


async def test_the_server_is_not_asked_where_it_is_off() -> None:
    params = (await metadata_of(new_stt()))["whisper_params"]
    assert not {"enable_diarization", "diarization_granularity"} & params.keys()


# Who said what

CONVERSATION = (
    "Good morning. Who/B are/B you?/B | Henry. | And/B you/B are/B here/B | for/B what?/B | Lunch."
)


@pytest.mark.parametrize("granularity", ["word", "segment", "sentence", "split_segment", None])
async def test_finals_and_words_have_their_speaker(granularity: Any) -> None:
    chosen = {} if granularity is None else {"diarization_granularity": granularity}
    if granularity in ("segment", "split_segment"):
        # One label for all that was said without a pause: one speaker for each.
        talk = Talk("Good morning. | Who/B are/B you?/B | Henry.")
    else:
        talk = Talk(CONVERSATION)
    events, _ = await heard(talk, **chosen)
    talk.check(events)
    for data in spoken(events):
        assert {word.speaker_id for word in data.words or []} == {data.speaker_id}


async def test_a_sentence_is_a_final_whoever_else_speaks_before_the_pause() -> None:
    events, _ = await heard(Talk("Good morning. Who/B are/B you?/B | Henry."), **SENTENCES)
    assert said(events) == [("A", "Good morning."), ("B", "Who are you?"), ("A", "Henry.")]


async def test_a_sentence_across_a_pause_is_one_final() -> None:
    talk = Talk("And you are here | for what? | Lunch.")
    events, _ = await heard(talk, **SENTENCES)
    assert said(events) == [("A", "And you are here for what?"), ("A", "Lunch.")]
    talk.check(events)


async def test_a_label_that_the_diarizer_does_not_know_is_a_label() -> None:
    events, _ = await heard(Talk("Hello./UNKNOWN"), **SENTENCES)
    assert said(events) == [("UNKNOWN", "Hello.")]


@pytest.mark.parametrize(
    ("language", "told"), [("de", "de"), ("en-GB", "en"), ("auto", "")], ids=str
)
async def test_a_null_language_is_the_one_that_was_asked_for(language: str, told: str) -> None:
    talk = Talk("Hello. | You/B too./B")
    events, _ = await heard(talk, faults.NullLanguage(), language=language, **SENTENCES)
    assert {str(data.language) for data in spoken(events)} == {told}


async def test_times_are_of_words_although_a_sentence_ends_where_its_last_word_starts() -> None:
    talk = Talk("Good morning Henry. | Yes./B")
    events, _ = await heard(talk, **SENTENCES)
    one, two = spoken(events)
    words = talk.speech.words
    step = pytest.approx((words[0].start_s, words[2].end_s), abs=0.021)
    assert (one.start_time, one.end_time) == step
    step = pytest.approx((words[3].start_s, words[3].end_s), abs=0.021)
    assert (two.start_time, two.end_time) == step


# What is held back

HELD = ["so then", "Hello. so/B then/B", "Hello. | so/B | then/B | again/B"]


@pytest.mark.parametrize("text", HELD)
@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("rest", [0, 9600])
async def test_words_without_a_full_stop_come_at_the_end(text: str, flush: bool, rest: int) -> None:
    talk = Talk(text, rest)
    events, _ = await heard(talk, flush=flush, **SENTENCES)
    grammar.check(events)
    assert [w for data in spoken(events) for w in data.text.split()] == [w for w, _ in talk.words]


async def heard_before_the_end(talk: Talk, diarizer: Diarizer) -> Server:
    """Every word of ``talk`` is said before the input ends, and nothing is wrong with it after."""
    async with (
        serve(recognizer=talk, diarizer=diarizer) as server,
        client(server, enable_diarization=True) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(talk.speech.pcm)
        await listener.until(lambda: len(listener.said()) == len(talk.words))
        listener.stream.end_input()
        talk.check(await listener.ended())
    return server


@pytest.mark.parametrize(
    "text", ["so then", "Hello. so/B then/B", "yes please | no/B thanks/B | may be"]
)
async def test_by_default_nothing_is_held_back(text: str) -> None:
    """Words without a full stop are final at the pause, by whoever said them."""
    talk = Talk(text)
    server = await heard_before_the_end(talk, AT_ONCE)
    assert len(server.handshakes) == 1


@pytest.mark.parametrize("at", range(14_000, 90_000, 5500))
@pytest.mark.parametrize("granularity", ["sentence", "word"])
async def test_a_reconnection_loses_and_doubles_no_word(granularity: Any, at: int) -> None:
    talk = Talk(CONVERSATION)
    plan = faults.Reset(after_samples=at)
    events, _ = await heard(talk, plan, diarization_granularity=granularity)
    talk.check(events)


MEETING = (
    "Good morning. | Who/B are/B you?/B | My/C name/C is/C Henry./C | Sit/B down/B please./B | Yes."
)
CUTS: dict[str, list[list[int]]] = {
    "uncut": [[]],
    "cut once": [[at] for at in range(15_000, 120_000, 15_000)],
    "cut again and again": [[30_000, 20_000, 25_000, 18_000], [60_000, 5000, 5000]],
}


@pytest.mark.parametrize("cuts", list(CUTS))
@pytest.mark.parametrize("granularity", ["word", "segment", "sentence", "split_segment"])
async def test_of_three_speakers_no_word_is_lost_or_doubled(granularity: Any, cuts: str) -> None:
    talk = Talk(MEETING)
    for places in CUTS[cuts]:
        plan = [faults.Reset(after_samples=at) for at in places]
        events, listener = await heard(talk, *plan, diarization_granularity=granularity)
        talk.check(events)
        assert len(listener.acquired) == 1 + len(places)


@pytest.mark.parametrize("granularity", ["sentence", "split_segment", "word"])
async def test_a_reconnection_after_every_final_doubles_no_word(granularity: Any) -> None:
    talk = Talk("Good morning. | Who/B are/B you?/B | Henry. | Yes/B it/B is./B")
    async with (
        serve(recognizer=talk, diarizer=AT_ONCE) as server,
        client(server, enable_diarization=True, diarization_granularity=granularity) as stt_,
        listening(stt_) as listener,
    ):
        at = 0
        for word, spoken_at in zip(talk.words, talk.speech.words, strict=True):
            if not word[0].endswith((".", "?")):
                continue
            stop = 2 * (spoken_at.end_samples + 8000)  # well into the pause, before the next
            listener.push(talk.speech.pcm[at:stop])
            at = stop
            await listener.until(functools.partial(has_said, listener, word[0]))
            server.connections[-1].reset()
        listener.push(talk.speech.pcm[at:])
        listener.stream.end_input()
        talk.check(await listener.ended())
        assert len(server.connections) >= 4


async def test_several_reconnections_lose_and_double_no_word() -> None:
    talk = Talk(CONVERSATION)
    plan = [faults.Reset(after_samples=at) for at in (30_000, 20_000, 25_000, 18_000)]
    events, _ = await heard(talk, *plan, **SENTENCES)
    talk.check(events)


async def test_a_change_of_options_loses_no_word() -> None:
    talk = Talk(CONVERSATION)
    async with (
        serve(recognizer=talk, diarizer=AT_ONCE) as server,
        client(server, **SENTENCES) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        at = talk.speech.words[4].end_samples * 2 + 18_000  # in the pause after "you?"
        listener.push(talk.speech.pcm[:at])
        await listener.until(lambda: "you?" in listener.said())
        speech_to_text.update_options(vad_threshold=0.4)
        await listener.until(lambda: len(listener.acquired) == 2)
        listener.push(talk.speech.pcm[at:])
        listener.stream.end_input()
        talk.check(await listener.ended())


async def test_it_can_be_turned_on_in_a_call() -> None:
    talk = Talk("Good morning. | Who/B are/B you?/B")
    async with (
        serve(recognizer=talk, diarizer=AT_ONCE) as server,
        client(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        at = talk.speech.words[1].end_samples * 2 + 16_000
        listener.push(talk.speech.pcm[:at])
        await listener.until(lambda: listener.said())
        speech_to_text.update_options(enable_diarization=True)
        await listener.until(lambda: len(listener.acquired) == 2)
        listener.push(talk.speech.pcm[at:])
        listener.stream.end_input()
        assert said(await listener.ended()) == [(None, "Good morning."), ("B", "Who are you?")]


# What the server says is still to come


@pytest.mark.parametrize("rest", [0, 9600])
@pytest.mark.parametrize("granularity", ["word", "segment", "split_segment", "sentence"])
async def test_the_last_utterance_is_said_once(granularity: Any, rest: int) -> None:
    """Beside its final the server repeats its last partial."""
    talk = Talk("Good morning. | Who/B are/B you?/B | My name is Henry.", rest)
    events, _ = await heard(talk, diarization_granularity=granularity)
    talk.check(events)


@pytest.mark.parametrize("granularity", ["word", "segment", "split_segment", "sentence"])
async def test_recognize_says_the_last_utterance_once(granularity: Any) -> None:
    talk = Talk("Good morning. | Who/B are/B you?/B | My name is Henry.", 0)
    async with (
        serve(recognizer=talk, diarizer=True) as server,
        client(server, enable_diarization=True, diarization_granularity=granularity) as stt_,
    ):
        event = await stt_.recognize(frame(talk.speech.pcm))
    assert event.alternatives[0].text.split() == [word for word, _ in talk.words]


async def test_what_was_held_before_the_last_words_is_said_before_them() -> None:
    """The server makes no final of it: what it says is still to come is all there is."""
    talk = Talk("So then, | I was | gone", 0)
    events, listener = await heard(talk, **SENTENCES)
    grammar.check(events)
    assert listener.said() == [word for word, _ in talk.words]
    first = spoken(events)[0]
    assert (first.metadata or {}).get("is_promoted_interim")


async def test_recognize_takes_partials_for_a_sentence_without_a_full_stop() -> None:
    talk = Talk("so then | I was gone")
    async with (
        serve(recognizer=talk, diarizer=True) as server,
        client(server, **SENTENCES) as speech_to_text,
    ):
        event = await speech_to_text.recognize(frame(talk.speech.pcm))
        assert event.alternatives[0].text.split() == [word for word, _ in talk.words]
        assert len(server.connections) == 1


async def test_a_final_that_waits_for_its_speaker_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is not asked for again as if the model owed it."""
    for phase in Phase:
        monkeypatch.setitem(stalls._UTTERANCE_SILENCE_S, phase, 0.1)
    talk = Talk("Good morning. | Who/B are/B you?/B")
    server = await heard_before_the_end(talk, Diarizer(max_wait_s=1.0))
    assert len(server.connections) == 1


# Out of order, and odd


class Late:
    """Finals come from a second queue: each is overtaken by the next partial."""

    def __init__(self) -> None:
        self._held: list[dict[str, Any]] = []

    def __call__(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        if message.get("type") != "transcription":
            return [*self._released(), message]
        if message["is_final"]:
            self._held.append(message)
            return []
        return [message, *self._released()]

    def _released(self) -> list[dict[str, Any]]:
        held, self._held = self._held, []
        return held


async def test_partials_may_overtake_finals() -> None:
    talk = Talk(CONVERSATION)
    events, _ = await heard(talk, faults.Rewrite(Late()), **SENTENCES)
    talk.check(events)


def renumbered(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Numbers are used several times, and some never."""
    if message.get("type") == "transcription":
        message["transcription_num"] = message["transcription_num"] // 2 * 3
    return [message]


@pytest.mark.parametrize(
    "odd",
    [
        faults.Rewrite(renumbered),
        faults.Duplicate(),
        faults.StalePartial(),
        faults.Error("DIARIZATION_ERROR", "no embedding", recoverable=True, after_samples=20_000),
        faults.Error("ASSIGNMENT_ERROR", "no speaker", recoverable=True, after_samples=50_000),
    ],
    ids=["numbers", "twice", "stale", "diarization error", "assignment error"],
)
async def test_what_else_may_come_costs_no_word(odd: faults.Fault) -> None:
    talk = Talk(CONVERSATION)
    events, listener = await heard(talk, odd, **SENTENCES)
    talk.check(events)
    assert len(listener.acquired) == 1


async def test_without_a_diarizer_it_transcribes_all_the_same() -> None:
    talk = Talk(CONVERSATION)
    async with (
        serve(recognizer=talk) as server,
        client(server, enable_diarization=True) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(talk.speech.pcm)
        listener.stream.end_input()
        await listener.ended()
        assert listener.said() == [word for word, _ in talk.words]
        sent = [json.loads(text) for text in server.connections[0].sent]
        assert all(not m["diarization"] for m in sent if m["type"] == "transcription")


# In LiveKit's hands


async def test_recognize_has_the_speaker_of_each_word() -> None:
    talk = Talk("Good morning. | Who/B are/B you?/B")
    async with (
        serve(recognizer=talk, diarizer=True) as server,
        client(server, **SENTENCES) as speech_to_text,
    ):
        event = await speech_to_text.recognize(frame(talk.speech.pcm))
    (data,) = event.alternatives
    assert [(str(w), w.speaker_id) for w in data.words or []] == talk.words
    assert data.speaker_id is None, "two speakers are not one"


async def collected(stream: stt.RecognizeStream, talk: Talk) -> list[stt.SpeechEvent]:
    push(stream, talk.speech.pcm)
    stream.end_input()
    return [event async for event in stream]


async def test_it_works_under_the_multi_speaker_adapter() -> None:
    talk = Talk("Good morning. | Who/B are/B you?/B | Henry.")
    async with (
        serve(recognizer=talk, diarizer=True) as server,
        client(server, **SENTENCES) as speech_to_text,
    ):
        adapter = MultiSpeakerAdapter(
            stt=speech_to_text, primary_format="{speaker_id}: {text}", background_format="({text})"
        )
        async with adapter.stream() as stream:
            events = await collected(stream, talk)
        await adapter.aclose()
    assert [data.text for data in spoken(events)] == [
        "A: Good morning.",
        "(Who are you?)",
        "A: Henry.",
    ]


async def test_a_background_speaker_can_be_suppressed() -> None:
    talk = Talk("Good morning. | Who/B are/B you?/B | Henry.")
    async with (
        serve(recognizer=talk, diarizer=True) as server,
        client(server, **SENTENCES) as speech_to_text,
    ):
        adapter = MultiSpeakerAdapter(stt=speech_to_text, suppress_background_speaker=True)
        async with adapter.stream() as stream:
            events = await collected(stream, talk)
        await adapter.aclose()
    assert [data.text for data in spoken(events)] == ["Good morning.", "Henry."]


def test_the_adapter_wants_it_on() -> None:
    with pytest.raises(ValueError, match="diarization"):
        MultiSpeakerAdapter(stt=new_stt())
