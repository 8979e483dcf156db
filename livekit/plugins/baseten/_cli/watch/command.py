"""`watch`: asks a deployment again and again what `check` asks once."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import deployment, recognition


def watch(
    endpoint: deployment.Endpoint = None,
    model_id: deployment.ModelId = None,
    chain_id: deployment.ChainId = None,
    environment: deployment.Environment = "production",
    api_key: deployment.ApiKey = None,
    model: deployment.Model = deployment.ModelName.whisper,
    allow_plaintext: deployment.AllowPlaintext = False,
    every: Annotated[
        float,
        typer.Option(
            help="Seconds from the start of a probe to that of the next. One takes eight or so; "
            "two are never under way.",
            min=0.01,
        ),
    ] = 60.0,
    wait: Annotated[
        float,
        typer.Option(
            help="Seconds that a handshake may take. A model that sleeps is down.", min=0.1
        ),
    ] = 10.0,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Where Prometheus finds the figures, such as 127.0.0.1:9464; nowhere if left out. "
            "A port alone is for this machine.",
        ),
    ] = None,
    extra_metadata: recognition.ExtraMetadata = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each probe in place of a line.")
    ] = False,
) -> None:
    """Watch a deployment: ask it every minute what `check` asks, until Ctrl-C.

    Each probe connects, speaks a short English sentence twice, measures, and prints a line.

    It says up, degraded (heard, but not right for a voice agent) or down, and why.

    A state in capitals is a new one.

    A probe holds a connection for some eight seconds, and keeps a model awake.

        watch --model-id XXXXXXXX --listen 127.0.0.1:9464

    Exit status: 0 after Ctrl-C or SIGTERM, 1 it cannot listen, 2 wrong arguments.
    """
    address = _address(listen)
    extra = recognition.extra_metadata(extra_metadata)
    resolved = deployment.resolved(
        model_endpoint=endpoint,
        model_id=model_id,
        chain_id=chain_id,
        environment=environment,
        api_key=api_key,
        allow_plaintext=allow_plaintext,
    )
    deployment.check_recognition(model, extra_metadata=extra)
    from .running import Watched, watched  # not before all is right: it imports LiveKit

    watched(Watched(resolved, model.value, extra, every, wait), address, as_json=as_json)


def _address(listen: str | None) -> tuple[str, int] | None:
    if listen is None:
        return None
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not port.isdecimal() or int(port) > 65_535 or (listen.count(":") > 1 and "[" not in listen):
        raise typer.BadParameter(f"--listen {listen}: write it as 127.0.0.1:9464 or [::1]:9464")
    return host or "127.0.0.1", int(port)
