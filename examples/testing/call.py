"""A call to the agent, with an LLM that goes by a list: what the caller said, what follows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from agent import Restaurant

from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, AgentSession, APIConnectOptions, llm
from livekit.agents.voice import ConversationItemAddedEvent

ANSWER_WITHIN_S = 10.0


class Mind(llm.LLM):
    """Answers with what a test says: a text, or the arguments of a tool by the tool's name."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, str | dict[str, dict[str, Any]]] = {}
        self.may_finish = asyncio.Event()
        self.may_finish.set()

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_: Any,
    ) -> llm.LLMStream:
        return _Thought(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Thought(llm.LLMStream):
    async def _run(self) -> None:
        assert isinstance(self._llm, Mind)
        last = self._chat_ctx.items[-1]
        if isinstance(last, llm.FunctionCallOutput):
            self._add(content=last.output)
            return
        assert isinstance(last, llm.ChatMessage)
        answer = self._llm.answers.get(last.text_content or "", "Pardon?")
        if isinstance(answer, str):
            self._add(content=answer)
            await self._llm.may_finish.wait()
            return
        calls = [
            llm.FunctionToolCall(name=name, arguments=json.dumps(arguments), call_id=name)
            for name, arguments in answer.items()
        ]
        self._add(tool_calls=calls)

    def _add(self, **delta: Any) -> None:
        chunk = llm.ChatChunk(id="thought", delta=llm.ChoiceDelta(role="assistant", **delta))
        self._event_ch.send_nowait(chunk)


@dataclass
class Call:
    """A call as the test sees it.

    Attributes:
        said: What was said so far, by "user" and "assistant".
        is_over: Whether the session has closed.
    """

    session: AgentSession[Restaurant]
    mind: Mind
    restaurant: Restaurant
    said: list[tuple[str, str]] = field(default_factory=list)
    is_over: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def listen(self) -> None:
        self.session.on("conversation_item_added", self._added)
        self.session.on("close", self._closed)

    async def until_said(self, speaker: str, text: str) -> None:
        """Wait until somebody has said something."""
        await self._until(lambda: (speaker, text) in self.said)

    async def until_over(self) -> None:
        await self._until(lambda: self.is_over)

    async def _until(self, predicate: Callable[[], bool]) -> None:
        async def is_so() -> None:
            while not predicate():
                await self._changed.wait()
                self._changed.clear()

        try:
            await asyncio.wait_for(is_so(), ANSWER_WITHIN_S)
        except asyncio.TimeoutError:
            pytest.fail(f"what was said: {self.said}")

    def _added(self, event: ConversationItemAddedEvent) -> None:
        if isinstance(event.item, llm.ChatMessage):
            self.said.append((event.item.role, event.item.text_content or ""))
            self._changed.set()

    def _closed(self, _: object) -> None:
        self.is_over = True
        self._changed.set()
