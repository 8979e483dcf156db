"""From a recorded call to one page of HTML that shows it: for the command `report`.

`_reading` takes the files in, `_call` makes out what happened, `_layout` puts it on a time axis,
`_sound` is the audio, `_page` writes the page.
"""

from __future__ import annotations

from .page import page
from .reading import NotARecording, Recorded, read

__all__ = ["NotARecording", "Recorded", "page", "read"]
