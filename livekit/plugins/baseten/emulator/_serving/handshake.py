"""The upgrade: who is let in, and what the others are told."""

from __future__ import annotations

import http
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Response

from ..faults.fault import Conditions, Fault

GIVEN_UP = 499  # what nginx calls a client that closed its request


@dataclass
class Handshake:
    """An upgrade that was asked for.

    Attributes:
        path: The request's target, query included.
        headers: Its headers, names in lower case.
        status: What it was answered with; `None` while it is parked, `GIVEN_UP` if the client hung
            up meanwhile.
        plan: What goes wrong with it, and with its connection.
    """

    path: str
    headers: dict[str, str]
    status: int | None = None
    plan: tuple[Fault, ...] = ()


def refusal(handshake: Handshake, conditions: Conditions, api_key: str | None) -> Response | None:
    """The answer to an upgrade that is not accepted, `None` for one that is."""
    if conditions.refusal is not None:
        return response(*conditions.refusal)
    if not urlsplit(handshake.path).path.endswith("/websocket"):
        return response(404, '{"error":"model not found"}')
    if not _is_authorized(handshake.headers.get("authorization", ""), api_key):
        return response(401, '{"error":"please check the api-key you provided"}')
    return None


def _is_authorized(authorization: str, api_key: str | None) -> bool:
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() not in ("api-key", "bearer") or not key.strip():
        return False
    return api_key is None or key.strip() == api_key


def response(status: int, body: str, headers: Mapping[str, str] | None = None) -> Response:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Status"  # 499 and its like have no name
    content = body.encode()
    fields = Headers(
        {
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            "Connection": "close",
        }
    )
    for name, value in (headers or {}).items():
        fields[name] = value
    return Response(status, phrase, fields, content)
