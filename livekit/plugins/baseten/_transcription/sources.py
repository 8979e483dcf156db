"""Where a recording comes from: a file, a URL, or a stream of bytes such as standard input."""

from __future__ import annotations

import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, BinaryIO
from urllib.parse import unquote, urlsplit

from .errors import MediaError

# What can be transcribed: a file's name, an http or https URL, or an open binary file.
Source = str | os.PathLike[str] | BinaryIO

_BLOCK_BYTES = 1 << 16
_TIMEOUT_S = 60.0


class Spool:
    """Bytes that come once, kept on disk, so that FFmpeg can go back to what it has passed.

    Args:
        source: Where they come from; it is closed with this.
        length: How many there will be, if that is known.
    """

    def __init__(self, source: IO[bytes], length: int | None = None) -> None:
        self._source = source
        self._more: Callable[[int], bytes] = getattr(source, "read1", source.read)  # does not wait
        self._length = length
        self._kept = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed in close()
        self._kept_bytes = 0
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        self._reach(self._at + size)
        self._kept.seek(self._at)
        data = self._kept.read(size)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END and self._length is None:
            return -1  # it is not known, nor waited for: it may be live
        self._at = offset + {os.SEEK_CUR: self._at, os.SEEK_END: self._length or 0}.get(whence, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        self._source.close()
        self._kept.close()

    def _reach(self, stop: int) -> None:
        self._kept.seek(self._kept_bytes)
        while self._kept_bytes < stop and (block := self._more(_BLOCK_BYTES)):
            self._kept.write(block)
            self._kept_bytes += len(block)


def is_url(source: Source) -> bool:
    """Whether a name is that of something on the web."""
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def name_of(source: Source) -> str:
    """What a recording is called, in letters that can be written anywhere."""
    name = source if isinstance(source, (str, os.PathLike)) else getattr(source, "name", None)
    if not isinstance(name, (str, os.PathLike)):
        return "audio"
    return os.fsencode(name).decode("utf-8", "replace")


def short_name_of(source: Source) -> str:
    """Its last part, without what a URL says of who may fetch it."""
    name = name_of(source)
    if is_url(name):
        name = unquote(urlsplit(name).path.rstrip("/"))
    return os.path.basename(name) or "audio"


def check_is_there(source: Source) -> None:
    """What can be said about a file without reading it.

    Raises:
        MediaError: There is none, or nothing in it.
    """
    if is_url(source) or not isinstance(source, (str, os.PathLike)):
        return
    path = Path(source)
    try:
        status = path.stat()
    except (OSError, ValueError) as e:
        raise MediaError((getattr(e, "strerror", None) or str(e)).lower()) from None
    if path.is_dir():
        raise MediaError("this is a folder: name the files in it")
    if path.is_file() and not status.st_size:
        raise MediaError("the file is empty")


def opened(source: Source) -> str | IO[bytes] | Spool:
    """What FFmpeg can open. It blocks.

    Raises:
        MediaError: It is not there, or nothing that sound can be in.
        OSError: It cannot be read.
    """
    check_is_there(source)
    if is_url(source):
        return _downloaded(str(source))
    if not isinstance(source, (str, os.PathLike)):
        return source if source.seekable() else Spool(source)
    name = os.fspath(source)
    try:
        name.encode()
    except UnicodeEncodeError:
        return open(name, "rb")
    return f"file:{name}"  # the prefix, so that a colon in a name is no protocol


def _downloaded(url: str) -> Spool:
    request = urllib.request.Request(url, headers={"User-Agent": "livekit-plugins-baseten"})
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as e:
        raise MediaError(f"the server answers HTTP {e.code} {e.reason}") from None
    except (urllib.error.URLError, ValueError) as e:
        reason = getattr(e, "reason", e)
        raise MediaError(
            f"cannot be fetched: {getattr(reason, 'strerror', None) or reason}"
        ) from None
    if answer.headers.get_content_type() == "text/html":
        answer.close()
        raise MediaError("there is a web page at this URL, no recording")
    length = answer.headers.get("Content-Length", "")
    return Spool(answer, int(length) if length.isdigit() else None)
