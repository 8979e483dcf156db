"""The agent without an account: real ears, a recording that talks, an LLM that says it back."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kit import python
from paths import AUDIO, EXAMPLES

from livekit.plugins.baseten.emulator import SileroDetector, WhisperRecognizer, serve


async def said_back(request: web.Request) -> web.StreamResponse:
    """OpenAI's protocol, as much of it as an answer needs."""
    messages = (await request.json())["messages"]
    content = [message for message in messages if message["role"] == "user"][-1]["content"]
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    for part in ("You said: ", content):
        choice = {"index": 0, "delta": {"role": "assistant", "content": part}}
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        await answer.write(f"data: {json.dumps(chunk | {'choices': [choice]})}\n\n".encode())
    await answer.write(b"data: [DONE]\n\n")
    return answer


@pytest.mark.alone
async def test_what_a_recording_says_is_heard_and_answered() -> None:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", said_back)
    with WhisperRecognizer(threads=1) as recognizer:
        async with (
            TestServer(app) as model,
            serve(recognizer=recognizer, voice_detector=SileroDetector) as ears,
        ):
            ran = await asyncio.wait_for(
                python.ran(
                    str(EXAMPLES / "offline_agent.py"),
                    "say",
                    str(AUDIO / "sense_and_sensibility_01-0930.wav"),
                    BASETEN_MODEL_ENDPOINT=ears.url,
                    LLM_URL=str(model.make_url("/v1")),
                ),
                100,
            )
    assert ran.status == 0, ran.err
    spoken = "He might even have been made amiable himself."
    assert ran.out.splitlines() == [f"user       {spoken}", f"assistant  You said: {spoken}"]
