"""All clips with all settings, some at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from ..stt import STT
from .clips import Clip
from .hearing import heard
from .scores import Result, Score
from .variants import Variant


async def evaluated(
    clips: Sequence[Clip],
    variants: Sequence[Variant],
    ears_of: Callable[[Variant], STT],
    *,
    jobs: int,
    at_pace_of_speech: bool,
    language: str,
    on_result: Callable[[Result], None],
) -> list[Score]:
    """Hear each clip with each setting.

    Args:
        ears_of: Makes the `STT` of a setting; it is closed here.
        jobs: How many clips at once.
        at_pace_of_speech: As a caller speaks; without it delays mean nothing.
        language: What is spoken, for the comparison of words.
        on_result: Called as each comes in.
    """
    places = asyncio.Semaphore(jobs)
    async with contextlib.AsyncExitStack() as stack:
        ears = [await stack.enter_async_context(ears_of(variant)) for variant in variants]

        async def one(stt: STT, clip: Clip) -> Result:
            async with places:
                said = await heard(stt, clip, at_pace_of_speech=at_pace_of_speech)
            result = Result(clip, said, language)
            on_result(result)
            return result

        # Clip by clip, so that what else goes on meanwhile is shared by all settings.
        results = await asyncio.gather(*(one(stt, clip) for clip in clips for stt in ears))
    return [
        Score(variant, list(results[index :: len(variants)]))
        for index, variant in enumerate(variants)
    ]
