"""Whose keyterms a stream is told, where one `STT` serves many sessions."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

from livekit.agents import AgentSession, stt

from .base import running_session


class SessionKeyterms:
    """The keyterms that LiveKit's sessions have, beside those that the user gave the `STT`.

    LiveKit tells an `STT` that the keyterms of a session have changed, and not of which. So a
    stream that a session has opened asks that session, and only the others take what was told.
    """

    def __init__(self) -> None:
        self._told: tuple[str, ...] = ()
        self._sessions = weakref.WeakKeyDictionary[stt.RecognizeStream, weakref.ref[AgentSession]]()

    def tell(self, keyterms: Sequence[str]) -> None:
        """Some session has these now."""
        self._told = tuple(keyterms)

    def opened(self, stream: stt.RecognizeStream) -> None:
        """The running task has opened this stream. It may be a session's."""
        session = running_session()
        if session is not None:
            self._sessions[stream] = weakref.ref(session)

    @property
    def here(self) -> tuple[str, ...]:
        """Those for whatever the running task opens."""
        return self._of(running_session())

    def of(self, stream: stt.RecognizeStream) -> tuple[str, ...]:
        """Those for a stream that is open."""
        reference = self._sessions.get(stream)
        return self._of(None if reference is None else reference())

    def _of(self, session: AgentSession | None) -> tuple[str, ...]:
        return self._told if session is None else tuple(session.keyterms)
