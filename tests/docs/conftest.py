"""A deployment of real ears, for what the documents and the examples say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from livekit.plugins.baseten.emulator import Server, SileroDetector, SphinxRecognizer, serve


@pytest.fixture(scope="module")
def recognizer() -> Iterator[SphinxRecognizer]:
    with SphinxRecognizer(workers=1) as sphinx:
        yield sphinx


@pytest.fixture
async def server(recognizer: SphinxRecognizer) -> AsyncIterator[Server]:
    async with serve(recognizer=recognizer, voice_detector=SileroDetector) as server:
        yield server
