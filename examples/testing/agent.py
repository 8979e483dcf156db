"""A small agent that books tables. What is worth a look is how it is tested: `test_agent.py`."""

from __future__ import annotations

from dataclasses import dataclass, field

from livekit.agents import (
    Agent,
    AgentSession,
    ErrorEvent,
    RunContext,
    ToolError,
    function_tool,
    llm,
    stt,
)
from livekit.plugins import baseten

MOST_GUESTS = 8
CANNOT_HEAR = "I am sorry, I cannot hear you. Please call again later."


@dataclass
class Booking:
    guests: int
    at: str


@dataclass
class Restaurant:
    bookings: list[Booking] = field(default_factory=list)


class TableAgent(Agent):
    """Takes bookings, and goes over to the caller's language where asked to."""

    def __init__(self) -> None:
        super().__init__(instructions="You take bookings for a restaurant. Be brief.")

    @function_tool
    async def book_table(self, context: RunContext[Restaurant], guests: int, at: str) -> str:
        """Book a table.

        Args:
            guests: How many will come.
            at: When, as in 20:00.
        """
        if guests > MOST_GUESTS:
            raise ToolError(f"no table has more than {MOST_GUESTS} seats")
        context.userdata.bookings.append(Booking(guests, at))
        return f"a table for {guests} at {at} is booked"

    @function_tool
    async def speak(self, context: RunContext[Restaurant], language: str) -> str:
        """Go over to another language.

        Args:
            language: Its code, as in "de".
        """
        ears = context.session.stt
        assert isinstance(ears, baseten.STT)
        ears.update_options(language=language)
        return f"from now on: {language}"


def take_calls(ears: stt.STT, mind: llm.LLM, restaurant: Restaurant) -> AgentSession[Restaurant]:
    """A session for one call, not started yet."""
    session = AgentSession[Restaurant](
        stt=ears,
        llm=mind,
        vad=None,
        turn_handling={
            "turn_detection": "stt",
            "endpointing": {"min_delay": 0.1, "max_delay": 0.1},
        },
        aec_warmup_duration=None,
        session_close_transcript_timeout=0.5,
        userdata=restaurant,
    )

    @session.on("error")
    def _(event: ErrorEvent) -> None:
        if isinstance(event.error, stt.STTError) and not event.error.recoverable:
            session.say(CANNOT_HEAR)
            session.shutdown()

    return session
