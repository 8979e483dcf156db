"""The work of `evaluate`, once it is known what to do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..._core.endpoint import Endpoint
from ..._evaluation.advice import advice
from ..._evaluation.clips import Clip
from ..._evaluation.figures import as_json, figures_of
from ..._evaluation.page import page
from ..._evaluation.run import evaluated
from ..._evaluation.scores import Result, Score
from ..._evaluation.variants import Variant
from ...stt import STT
from ..console import err, fail, out
from ..deployment import in_options, speech_to_text

INTERRUPTED = 128 + 2  # as of a process that Ctrl-C ended
_IN_A_PIPE = 200  # columns, where nobody says how many there are


@dataclass(frozen=True)
class Wishes:
    """How it is to be done, and what is to come of it.

    Attributes:
        jobs: Clips at once.
        at_pace_of_speech: As a caller speaks.
        page: Where to write the page, if anywhere.
        json: Where to write the figures, if anywhere; "-" is standard output.
    """

    jobs: int
    at_pace_of_speech: bool
    page: Path | None
    json: Path | None


def evaluate_all(
    endpoint: Endpoint,
    arguments: Mapping[str, Any],
    clips: Sequence[Clip],
    variants: Sequence[Variant],
    wishes: Wishes,
) -> int:
    """Hear all clips with all settings, and say how it went; returns the exit status."""

    def ears_of(variant: Variant) -> STT:
        try:
            return speech_to_text(endpoint, **{**arguments, **variant.arguments})
        except TypeError:
            fail(f"--vary: {variant.name}: these are no arguments of STT", status=2)

    language = str(arguments.get("language") or "en")
    try:
        scores = asyncio.run(_evaluated(clips, variants, ears_of, wishes, language))
    except KeyboardInterrupt:
        return INTERRUPTED
    said = advice(scores, has_delays=wishes.at_pace_of_speech)
    if wishes.json is not None:
        _write_json(wishes, as_json(scores, said, has_delays=wishes.at_pace_of_speech))
    if wishes.json != Path("-"):
        _print(scores, said, has_delays=wishes.at_pace_of_speech)
    if wishes.page is not None:
        text = page(scores, said, has_delays=wishes.at_pace_of_speech, about=endpoint.url)
        wishes.page.write_text(text, encoding="utf-8")
        err.print(f"{wishes.page}")
    failures = [result for score in scores for result in score.failures]
    for result in failures:
        err.print(f"{result.clip.name}: not heard: {in_options(result.heard.failure or '')}")
    return 1 if failures else 0


async def _evaluated(
    clips: Sequence[Clip],
    variants: Sequence[Variant],
    ears_of: Any,
    wishes: Wishes,
    language: str,
) -> list[Score]:
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("clips", total=len(clips) * len(variants))

        def came(result: Result) -> None:
            progress.advance(task)

        return await evaluated(
            clips,
            variants,
            ears_of,
            jobs=wishes.jobs,
            at_pace_of_speech=wishes.at_pace_of_speech,
            language=language,
            on_result=came,
        )


def _write_json(wishes: Wishes, figures: dict[str, Any]) -> None:
    text = json.dumps(figures, ensure_ascii=False, indent=2)
    if wishes.json == Path("-"):
        out.print(text)
    elif wishes.json is not None:
        wishes.json.write_text(text + "\n", encoding="utf-8")


def _print(scores: Sequence[Score], said: Sequence[str], *, has_delays: bool) -> None:
    figures = figures_of(scores, has_delays=has_delays)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("setting", overflow="fold")
    for figure in figures:
        table.add_column(figure.title, justify="right")
    for score in scores:
        table.add_row(
            score.variant.name.replace(", ", "\n"), *(figure.text(score) for figure in figures)
        )
    if not out.is_terminal:
        out.width = _IN_A_PIPE
    out.print(table)
    first = scores[0]
    units = f"{first.reference_units} words or characters"
    out.print(f"\n{len(first.results)} recordings, {first.utterances} utterances, {units}.")
    for line in said:
        out.print(line)
