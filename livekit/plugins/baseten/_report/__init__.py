"""From recorded calls to pages of HTML that show them: for the command `report`.

`reading` takes the files in, `call` makes out what happened, `axis` puts it on a time axis,
`sound` is the audio, `page` writes the page of a call. `figures` has what a folder's page says of
each call, `day` what stands out in all of them, `day_page` writes it, `making` makes all pages.
"""

from __future__ import annotations

from .day import Day, as_json, spread
from .figures import Figures, figures_of
from .making import CannotWrite, make_pages, recordings_in, write
from .page import page
from .reading import NotARecording, Recorded, read
from .wording import clock, many, seconds

__all__ = [
    "CannotWrite",
    "Day",
    "Figures",
    "NotARecording",
    "Recorded",
    "as_json",
    "clock",
    "figures_of",
    "make_pages",
    "many",
    "page",
    "read",
    "recordings_in",
    "seconds",
    "spread",
    "write",
]
