"""Which fields of its metadata a deployment refuses.

A server that does not like its metadata says nothing but 1011 (docs/protocol.md, invalid metadata).
So it is asked again: with none of the fields, then with each of them alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from ..._connection.connector import Connector
from ..._core.errors import MetadataRefused
from ..._core.options import Options
from ..._core.session import Patience, Session
from ..._core.wire import Dialect, dialect_for

Path = tuple[str, ...]


class _Saying:
    """A dialect with other words at its opening."""

    def __init__(self, dialect: Dialect, metadata: Mapping[str, Any]) -> None:
        self._dialect = dialect
        self._opening = json.dumps(metadata)

    def opening(self, number: int = 0) -> str:
        return self._opening

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dialect, name)


async def refused_fields(
    connector: Connector, options: Options, *, wait_s: float
) -> list[str] | None:
    """The fields that are refused, as ``whisper_params.prompt``.

    Returns:
        `None` if metadata without any field is refused, too: they are not what is wrong.

    Raises:
        BasetenError: Something else went wrong with a connection.
    """

    dialect = dialect_for(options)

    async def accepts(metadata: Mapping[str, Any]) -> bool:
        def session() -> Session:
            return Session(cast(Dialect, _Saying(dialect, metadata)), Patience())

        try:
            connection = (await connector.open_patiently(session, timeout_s=wait_s)).connection
            try:
                await connection.proven()
            finally:
                await connection.aclose()
        except MetadataRefused:
            return False
        return True

    if not await accepts({}):
        return None
    sent: dict[str, Any] = json.loads(dialect.opening())
    return [".".join(path) for path in _leaves(sent) if not await accepts(_only(sent, path))]


def _leaves(metadata: Mapping[str, Any]) -> list[Path]:
    out: list[Path] = []
    for block, fields in metadata.items():
        if isinstance(fields, dict) and fields:
            out += [(block, name) for name in fields]
        else:
            out.append((block,))
    return out


def _only(metadata: Mapping[str, Any], path: Path) -> dict[str, Any]:
    if len(path) == 1:
        return {path[0]: metadata[path[0]]}
    return {path[0]: {path[1]: metadata[path[0]][path[1]]}}
