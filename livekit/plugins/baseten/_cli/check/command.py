"""`check`: whether a deployment is right for live use, found out step by step."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import deployment, recognition


def check(
    endpoint: deployment.Endpoint = None,
    model_id: deployment.ModelId = None,
    chain_id: deployment.ChainId = None,
    environment: deployment.Environment = "production",
    api_key: deployment.ApiKey = None,
    model: deployment.Model = deployment.ModelName.whisper,
    allow_plaintext: deployment.AllowPlaintext = False,
    wait: Annotated[
        float,
        typer.Option(help="Seconds to wait for a model that sleeps or is full.", min=0.1),
    ] = 30.0,
    extra_metadata: recognition.ExtraMetadata = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object in place of lines.")
    ] = False,
) -> None:
    """Find out whether a deployment is right for live use.

    Goes the whole way, speaks a short English sentence twice, and measures.

    Ends with what to expect, or with what is wrong and what to do about it.

    Exit status: 0 right for a voice agent, 1 not, 2 wrong arguments.
    """
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
    from .printed import checked  # not before all is right: it imports LiveKit

    checked(resolved, model.value, extra, wait_s=wait, as_json=as_json)
