"""A recognizer that hears as the deployed model does: Whisper, by faster-whisper, on this machine.

Whisper's encoder takes 30 seconds. Most of that is padding where somebody says a sentence, and on
a CPU it is most of the time. So it is given the buffer's length with some margin. The decoder then
sometimes finds no end and says the same again and again; such a result is noticed by its length
and its compression, and a final is decoded again with all 30 seconds.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from .recognizer import SAMPLE_RATE_HZ, DecodingOptions, Transcript, Word, samples_of
from .whisper_weights import fetched, installed

if TYPE_CHECKING:
    from faster_whisper.transcribe import Segment

    from .whisper_model import WindowedModel

DEFAULT_MODEL = "tiny.en"

PARTIAL_FRAMES = 600  # the shortest window of a partial; 100 a second
FINAL_FRAMES = 1000  # and of a final
WHOLE_FRAMES = 3000

MAX_RETRIES = 2  # of a final that finds no end: more would keep the client waiting for noise
LEAST_SAMPLES = 400  # one window of the features
TOKENS_PER_S = 10  # nobody speaks faster
SPARE_TOKENS = 10
WORD_STEP_S = 0.02  # of the aligner's time axis
MAX_TOKENS = 224  # half of what the decoder holds, as CTranslate2 has it
CONTEXT_TOKENS = 448
PROMPT_TOKENS = 223
CONTROL_TOKENS = 5  # start of the prompt, start, language, task, no timestamps

LOOP_COMPRESSION = 2.4  # a text that compresses better repeats itself; Whisper's own figure
NO_SPEECH_PROB, NO_SPEECH_LOG_PROB = 0.6, -1.0  # Whisper's own, too

Device = Literal["auto", "cpu", "cuda"]
Audio = NDArray[np.float32]


class WhisperRecognizer:
    """Any Whisper model that CTranslate2 runs, on CPU or GPU.

    Close it when done with it; it is a context manager, too.

    Args:
        model: A name such as ``"tiny.en"``, ``"base"`` or ``"large-v3-turbo"``, a repository of
            the hub, or a folder with a model for CTranslate2. An installed package with weights of
            that name is taken first, then what the hub's cache has; only then the hub is asked.
        device: Where it runs.
        compute_type: How it computes, in CTranslate2's words; ``"int8"`` on a CPU if not given.
        threads: CPU threads for each buffer; all cores shared among `workers` if not given.
        workers: How many buffers are heard at once. One of them is kept for finals, so that none
            waits for a partial.

    Raises:
        ImportError: faster-whisper is not installed.
        WeightsMissing: There are none of this name; the message says where they may come from.
        ValueError: CTranslate2 cannot compute so on this device.
    """

    blocking = True

    def __init__(
        self,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        *,
        device: Device = "auto",
        compute_type: str | None = None,
        threads: int | None = None,
        workers: int = 2,
    ) -> None:
        self.workers = workers
        self.model = os.fspath(model)
        self._model = _loaded(self.model, device, compute_type, threads, workers)

    @property
    def description(self) -> str:
        """Model, device and compute type in a few words."""
        loaded = self._model.model
        return f"Whisper {self.model} on {loaded.device} in {loaded.compute_type}"

    @staticmethod
    def is_installed(model: str | os.PathLike[str] = DEFAULT_MODEL) -> bool:
        """Whether faster-whisper and the weights of a model are on this machine."""
        if importlib.util.find_spec("faster_whisper") is None:
            return False
        return installed(os.fspath(model)) is not None

    @property
    def is_multilingual(self) -> bool:
        return bool(self._model.model.is_multilingual)

    def recognize(self, pcm: bytes, *, is_final: bool) -> Transcript:
        return self.transcribe(pcm, DecodingOptions(), is_final=is_final)

    def transcribe(self, pcm: bytes, options: DecodingOptions, *, is_final: bool) -> Transcript:
        """Hear a buffer as a client asked. See `Recognizer.recognize`.

        Without `DecodingOptions.language` the language is detected. An English model takes
        everything for English.
        """
        audio = samples_of(pcm).astype(np.float32) / np.float32(32768)
        if len(audio) < LEAST_SAMPLES:
            return Transcript("")
        language, prob = options.language, None
        if language is None:
            language, prob = self._detected(audio, options)
        if options.is_detection_only:
            return Transcript("", language=language, language_prob=prob)
        decoded = self._decoded(audio, language, options, is_final=is_final)
        length_s = len(audio) / SAMPLE_RATE_HZ
        return Transcript(
            "".join(segment.text for segment in decoded).strip(),
            tuple(word for segment in decoded for word in _words(segment, length_s)),
            language,
            prob,
            sum(segment.avg_logprob * len(segment.tokens) for segment in decoded),
            _is_loop(audio, decoded) or any(map(_is_silence, decoded)),
        )

    def close(self) -> None:
        """Give its memory back."""
        self._model.model.unload_model()

    def __enter__(self) -> WhisperRecognizer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _detected(self, audio: Audio, options: DecodingOptions) -> tuple[str, float]:
        """The likeliest of the languages that the client left to choose from, or of all."""
        if not self.is_multilingual:
            return "en", 1.0
        with self._model.window(FINAL_FRAMES):
            _, _, ranked = self._model.detect_language(audio)
        allowed = set(options.language_options) & {code for code, _ in ranked}
        return next((code, prob) for code, prob in ranked if not allowed or code in allowed)

    def _decoded(
        self, audio: Audio, language: str, options: DecodingOptions, *, is_final: bool
    ) -> list[Segment]:
        """One segment; none for nothing."""
        with self._model.window(FINAL_FRAMES if is_final else PARTIAL_FRAMES):
            decoded = self._once(audio, language, options, options.temperatures[0])
        if not is_final:
            return decoded
        for temperature in options.temperatures[:MAX_RETRIES]:
            if not _is_loop(audio, decoded):
                break
            with self._model.window(WHOLE_FRAMES):
                decoded = self._once(audio, language, options, temperature)
        return decoded

    def _once(
        self, audio: Audio, language: str, options: DecodingOptions, temperature: float
    ) -> list[Segment]:
        prompt = f" {options.prompt.strip()}" if options.prompt.strip() else ""
        encoded = self._model.hf_tokenizer.encode(prompt, add_special_tokens=False)
        prompt_tokens = encoded.ids[-PROMPT_TOKENS:]
        segments, _ = self._model.transcribe(
            audio,
            language=language,
            task="translate" if options.translates and language != "en" else "transcribe",
            beam_size=options.beam_width,
            best_of=1,
            length_penalty=options.length_penalty,
            repetition_penalty=options.repetition_penalty,
            no_repeat_ngram_size=options.no_repeat_ngram_size,
            temperature=temperature,
            compression_ratio_threshold=None,
            log_prob_threshold=None,
            no_speech_threshold=None,
            condition_on_previous_text=False,
            initial_prompt=prompt_tokens or None,
            without_timestamps=True,
            word_timestamps=options.word_timestamps,
            max_new_tokens=_token_limit(audio, len(prompt_tokens), options.max_new_tokens),
        )
        # One is all. With word times it would go on behind the last word, and make up more.
        return list(itertools.islice(segments, 1))


def _loaded(
    model: str, device: Device, compute_type: str | None, threads: int | None, workers: int
) -> WindowedModel:
    if importlib.util.find_spec("faster_whisper") is None:
        raise ImportError(
            'faster-whisper is missing: pip install "livekit-plugins-baseten[whisper]"'
        )
    import ctranslate2

    from .whisper_model import WindowedModel

    has_gpu = device == "cuda" or (device == "auto" and ctranslate2.get_cuda_device_count() > 0)
    weights = fetched(model)
    return WindowedModel(
        weights.name,
        device="cuda" if has_gpu else "cpu",
        compute_type=compute_type or ("default" if has_gpu else "int8"),
        cpu_threads=threads or max(1, (os.cpu_count() or 1) // workers),
        num_workers=workers,
        files=weights.files or None,
    )


def _speakable_tokens(audio: Audio) -> int:
    """More than anybody can say in so much time: a result of as many has found no end."""
    return min(MAX_TOKENS, SPARE_TOKENS + TOKENS_PER_S * len(audio) // SAMPLE_RATE_HZ)


def _token_limit(audio: Audio, prompt_tokens: int, asked: int) -> int:
    """What `max_new_tokens` has to be for so many: CTranslate2 halves it, the prompt included."""
    context = prompt_tokens + CONTROL_TOKENS
    tokens = min(_speakable_tokens(audio), asked, CONTEXT_TOKENS - context)
    return max(tokens, 2 * tokens - context)


def _is_loop(audio: Audio, decoded: Sequence[Segment]) -> bool:
    tokens = _speakable_tokens(audio)
    return any(
        one.compression_ratio > LOOP_COMPRESSION or len(one.tokens) >= tokens for one in decoded
    )


def _is_silence(segment: Segment) -> bool:
    is_unsure = segment.avg_logprob < NO_SPEECH_LOG_PROB
    return is_unsure and bool(segment.no_speech_prob > NO_SPEECH_PROB)


def _words(segment: Segment, length_s: float) -> Iterator[Word]:
    """Its words within the buffer: those that are made up may be timed behind its end."""
    for word in segment.words or ():
        text = word.word.strip()
        if text:
            start_s = max(0.0, min(float(word.start), length_s - WORD_STEP_S))
            end_s = min(max(float(word.end), start_s), length_s)
            is_attached = not word.word[:1].isspace()
            yield Word(text, start_s, end_s, float(word.probability), is_attached=is_attached)
