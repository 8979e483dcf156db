"""The URL of the deployment and the key, found out once when an `STT` is made."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from ..log import logger

RIGHT_FORM = "wss://model-XXXXXXXX.api.baseten.co/environments/production/websocket"
_ID = re.compile(r"[A-Za-z0-9]+\Z")
_ENVIRONMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")
# What the dashboard shows for HTTP calls to a model or a chain.
_HTTP_CALLS = ("/predict", "/async_predict", "/run_remote", "/async_run_remote")


@dataclass(frozen=True)
class Endpoint:
    """
    Attributes:
        url: WebSocket URL of the deployment.
        api_key: Not in the repr.
    """

    url: str
    api_key: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Api-Key {self.api_key}"}

    def __post_init__(self) -> None:
        if not isinstance(self.api_key, str):
            raise ValueError("api_key: must be a string")
        is_plain = self.api_key.isascii() and self.api_key.isprintable()
        if not is_plain or any(c in self.api_key for c in " \"'"):
            raise ValueError(
                "api_key: has characters that no Baseten key has (a space, a quote, a line break "
                "or something outside ASCII); was it copied whole, and nothing besides?"
            )


def resolve_url(
    *,
    model_endpoint: str | None,
    model_id: str | None,
    chain_id: str | None,
    environment: str,
    deployment_id: str | None,
    allow_plaintext: bool,
) -> str:
    """The WebSocket URL that these arguments of `STT` name.

    Raises:
        ValueError: None is given, or more than one, or one cannot be right; shows the right form.
    """
    names = {"model_endpoint": model_endpoint, "model_id": model_id, "chain_id": chain_id}
    where_in_it = {"environment": environment, "deployment_id": deployment_id}
    for name, value in {**names, **where_in_it}.items():
        if not isinstance(value, str) and (value is not None or name == "environment"):
            raise ValueError(f"{name}={value!r}: must be a string")
    given = [name for name, value in names.items() if value]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)}: only one of them can name the deployment")
    chosen = [name for name, value in where_in_it.items() if value not in (None, "", "production")]
    if len(chosen) > 1 or (chosen and model_endpoint):
        other = "model_endpoint" if model_endpoint else chosen[0]
        raise ValueError(f"{chosen[-1]}: has no effect beside {other}, which says all of it")
    if model_endpoint:
        return check_url(model_endpoint, allow_plaintext=allow_plaintext)
    if model_id:
        host = f"model-{_checked('model_id', model_id, _ID)}"
    elif chain_id:
        host = f"chain-{_checked('chain_id', chain_id, _ID)}"
    else:
        raise ValueError(
            "no deployment named: pass model_endpoint, model_id or chain_id, or set "
            f"BASETEN_MODEL_ENDPOINT. An endpoint looks like {RIGHT_FORM}"
        )
    if deployment_id:
        where = f"deployment/{_checked('deployment_id', deployment_id, _ID)}"
    elif environment == "development":
        where = "development"
    else:
        where = f"environments/{_checked('environment', environment, _ENVIRONMENT)}"
    return f"wss://{host}.api.baseten.co/{where}/websocket"


def check_url(url: str, *, allow_plaintext: bool) -> str:
    """A WebSocket URL as it is. Of an HTTP URL from the dashboard, the WebSocket URL beside it.

    Raises:
        ValueError: Neither, or ``ws://`` to another machine without ``allow_plaintext``.
    """
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(
            f"model_endpoint={url!r}: not a URL; one looks like {RIGHT_FORM}"
        ) from None
    if parts.username or parts.password:
        raise ValueError("model_endpoint: has a user or password in it; the key goes into api_key")
    if (
        not host
        or any(c.isspace() for c in url.strip())
        or parts.scheme not in ("ws", "wss", "https")
    ):
        raise ValueError(
            f"model_endpoint={url!r}: not a WebSocket URL; one looks like {RIGHT_FORM}"
        )
    if parts.scheme == "https":
        return _beside(url, parts.netloc, parts.path)
    if parts.scheme == "ws" and not allow_plaintext and not is_loopback(host):
        raise ValueError(
            f"model_endpoint={url!r}: ws:// would send the API key and the audio unencrypted. "
            "Use wss://, or allow_plaintext=True if the way to that host is private."
        )
    return urlunsplit(parts)


def _beside(url: str, netloc: str, path: str) -> str:
    for call in _HTTP_CALLS:
        if path.endswith(call):
            websocket = f"wss://{netloc}{path.removesuffix(call)}/websocket"
            break
    else:
        if not path.endswith("/websocket"):
            raise ValueError(
                f"model_endpoint={url!r}: not a WebSocket URL; one looks like {RIGHT_FORM}"
            )
        websocket = f"wss://{netloc}{path}"
    logger.info("model_endpoint is an HTTP URL, using the WebSocket beside it: %s", websocket)
    return websocket


def is_loopback(host: str) -> bool:
    """``host``, a name or an address, is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _checked(parameter: str, value: str, pattern: re.Pattern[str]) -> str:
    if not pattern.match(value):
        raise ValueError(
            f"{parameter}={value!r}: only the identifier itself, the XXXXXXXX of {RIGHT_FORM}"
        )
    return value
