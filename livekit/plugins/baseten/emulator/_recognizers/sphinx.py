"""A recognizer that really hears: pocketsphinx, with the English model that its wheel brings.

pocketsphinx holds the interpreter's lock while it decodes, so it runs in processes of its own. Each
goes on from what it has heard: a buffer that begins with the one before it costs only the
difference, which is what makes partials affordable and finals quick.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

from .recognizer import Word
from .sphinx_worker import FINAL, FRESH, REQUEST

WORKER = Path(__file__).with_name("sphinx_worker.py")


class SphinxRecognizer:
    """English, offline, about a tenth of real time on one core. It makes many mistakes.

    Close it when done with it; it is a context manager, too.

    Args:
        workers: How many buffers are heard at once, each by a process that holds a model (about
            100 MB); at most two, one per core, if not given.

    Attributes:
        workers: The same.

    Raises:
        ImportError: pocketsphinx is not installed.
    """

    blocking = True

    def __init__(self, workers: int | None = None) -> None:
        if importlib.util.find_spec("pocketsphinx") is None:
            raise ImportError(
                'pocketsphinx is missing: pip install "livekit-plugins-baseten[emulator]"'
            )
        self.workers = workers or min(2, os.cpu_count() or 1)
        # Started here, so that the models are loaded by the time the first words are spoken.
        self._workers = [_Worker() for _ in range(self.workers)]
        self._free = list(self._workers)
        self._freed = threading.Condition()
        self._finalizer = weakref.finalize(self, _stop, self._workers)

    def recognize(self, pcm: bytes, *, is_final: bool) -> list[Word]:
        with self._freed:
            self._freed.wait_for(lambda: self._free)
            worker = max(self._free, key=lambda free: free.advantage(pcm))
            self._free.remove(worker)
        try:
            return worker.recognize(pcm, is_final=is_final)
        finally:
            with self._freed:
                self._free.append(worker)
                self._freed.notify()

    def close(self) -> None:
        """End its processes."""
        self._finalizer()

    def __enter__(self) -> SphinxRecognizer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Worker:
    """A process, and what it has heard of the buffer that it is in the middle of."""

    def __init__(self) -> None:
        self._heard = b""
        self._is_stopped = False
        self._process = self._started()

    def advantage(self, pcm: bytes) -> int:
        """How much of a buffer it has heard already; negative if it would forget another."""
        if pcm.startswith(self._heard):
            return len(self._heard)
        return -1

    def recognize(self, pcm: bytes, *, is_final: bool) -> list[Word]:
        is_next = bool(self._heard) and pcm.startswith(self._heard)
        news = pcm[len(self._heard) :] if is_next else pcm
        flags = (0 if is_next else FRESH) | (FINAL if is_final else 0)
        self._heard = b"" if is_final else pcm
        try:
            line = self._asked(REQUEST.pack(flags, len(news)) + news)
        except (OSError, ValueError):  # ValueError: the pipe is closed already
            line = b""
        if not line:
            # It died. The next buffer finds a process that knows nothing of it.
            if not self._is_stopped:
                self._end()
                self._heard, self._process = b"", self._started()
            raise RuntimeError("the recognizer's process ended")
        return [Word(*fields) for fields in json.loads(line)]

    def stop(self) -> None:
        self._is_stopped = True
        self._end()

    def _end(self) -> None:
        # The process first: a thread that waits for its answer holds the lock of the pipe.
        self._process.terminate()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # a request that was never read
                    pipe.close()

    def _asked(self, request: bytes) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(request)
        self._process.stdin.flush()
        return self._process.stdout.readline()

    @staticmethod
    def _started() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C in the terminal is not for it
        )


def _stop(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.stop()
