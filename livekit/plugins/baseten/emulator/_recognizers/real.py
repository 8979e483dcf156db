"""The best ears that a machine has."""

from __future__ import annotations

from .sphinx import SphinxRecognizer
from .whisper import DEFAULT_MODEL, Device, WhisperRecognizer
from .whisper_weights import WeightsMissing


def real_recognizer(
    model: str = DEFAULT_MODEL, *, device: Device = "auto"
) -> tuple[WhisperRecognizer | SphinxRecognizer, str]:
    """Whisper where it is installed and its weights are to be had, else pocketsphinx.

    Args:
        model: As for `WhisperRecognizer`.
        device: As for `WhisperRecognizer`.

    Returns:
        The recognizer, to be closed when done with it, and a line that says which one it is and,
        if it is pocketsphinx, why.

    Raises:
        ImportError: Neither is installed.
    """
    try:
        recognizer = WhisperRecognizer(model, device=device)
    except (ImportError, WeightsMissing) as e:
        return SphinxRecognizer(), f"Hears with pocketsphinx, far less well than Whisper: {e}"
    return recognizer, f"Hears with {recognizer.description}."
