"""What holds for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kit.loopback import MODELS, Spoken

from livekit.plugins.baseten._core.options import Model


@pytest.fixture(autouse=True, scope="session")
def no_baseten_in_the_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("BASETEN_API_KEY", raising=False)
        environment.delenv("BASETEN_MODEL_ENDPOINT", raising=False)
        yield


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Model:
    """Whose dialect is spoken: a test runs over each, unless it is `only` for one."""
    name: Model = request.param
    monkeypatch.setattr(Spoken, "model", name)
    return name
