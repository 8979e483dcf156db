"""What an error says of the metadata that was refused."""

from __future__ import annotations

import pytest

from livekit.plugins.baseten._core.options import Model, Options
from livekit.plugins.baseten._core.wire import dialect_for


@pytest.mark.parametrize("model", ["whisper", "qwen3-asr"])
def test_it_names_the_fields_and_nobody(model: Model) -> None:
    options = Options.create(
        model,
        language="de",
        prompt="Call for Jane Roe",
        keyterms=("Lake Tahoe",),
        extra_metadata={
            "whisper_params": {"hotwords": ["Jane Roe"], "note": 5551234},
            "customer": {"name": "Jane Roe"},
        },
    )
    described = dialect_for(options).described()
    assert "Roe" not in described
    assert "Tahoe" not in described
    assert "5551234" not in described
    assert '"audio_language": "' + ("de" if model == "whisper" else "German") in described
    assert '"hotwords": "(not shown)"' in described
    assert '"customer": "(not shown)"' in described
