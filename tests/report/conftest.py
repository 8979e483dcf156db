from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_baseten_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BASETEN_API_KEY", raising=False)
    monkeypatch.delenv("BASETEN_MODEL_ENDPOINT", raising=False)
