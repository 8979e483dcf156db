"""Where the deployment is, and the key to it."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest
from kit.client import ENDPOINT, KEY, new_stt

from livekit.plugins import baseten
from livekit.plugins.baseten._core.endpoint import RIGHT_FORM, Endpoint, check_url, resolve_url

HOST = "model-abc123.api.baseten.co"


def resolved(**given: Any) -> str:
    nothing = {
        "model_endpoint": None,
        "model_id": None,
        "chain_id": None,
        "environment": "production",
        "deployment_id": None,
        "allow_plaintext": False,
    }
    return resolve_url(**{**nothing, **given})


# URLs


@pytest.mark.parametrize(
    "url",
    [
        f"wss://{HOST}/environments/production/websocket",
        f"wss://{HOST}/environments/staging/websocket",
        f"wss://{HOST}/development/websocket",
        f"wss://{HOST}/deployment/q1w2e3/websocket",
        f"wss://{HOST}/v1/websocket",
        "wss://chain-abc123.api.baseten.co/environments/production/websocket",
        "wss://model-abc123-staging.api.baseten.co/websocket",
        "wss://somewhere.else:8443/v1/realtime?a=b",
        "wss://10.0.0.7/websocket",
        "wss://[::1]:8765/websocket",
    ],
)
def test_a_wss_url_is_taken_as_it_is(url: str) -> None:
    assert check_url(url, allow_plaintext=False) == url


def test_blanks_around_a_pasted_url_do_no_harm() -> None:
    assert check_url(f"  {ENDPOINT}\n", allow_plaintext=False) == ENDPOINT


@pytest.mark.parametrize(
    ("pasted", "beside"),
    [
        (f"https://{HOST}/environments/production/predict", ENDPOINT),
        (f"https://{HOST}/environments/production/async_predict", ENDPOINT),
        (f"https://{HOST}/environments/production/websocket", ENDPOINT),
        (f"https://{HOST}/development/predict", f"wss://{HOST}/development/websocket"),
        (f"https://{HOST}/deployment/q1/predict", f"wss://{HOST}/deployment/q1/websocket"),
        (
            "https://chain-abc123.api.baseten.co/environments/production/run_remote",
            "wss://chain-abc123.api.baseten.co/environments/production/websocket",
        ),
        (
            "https://chain-abc123.api.baseten.co/environments/production/async_run_remote",
            "wss://chain-abc123.api.baseten.co/environments/production/websocket",
        ),
    ],
)
def test_an_http_url_from_the_dashboard_becomes_the_websocket_beside_it_and_says_so_once(
    pasted: str, beside: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "livekit.plugins.baseten"):
        assert check_url(pasted, allow_plaintext=False) == beside
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert beside in record.getMessage()


@pytest.mark.parametrize("url", [ENDPOINT, "ws://localhost:8765/websocket"])
def test_a_websocket_url_needs_no_words(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        check_url(url, allow_plaintext=False)
    assert not caplog.records


@pytest.mark.parametrize(
    "garbage",
    [
        "abc123",
        "model-abc123.api.baseten.co/websocket",
        "http://localhost:8765/websocket",
        "ftp://host/websocket",
        "wss:///websocket",
        "wss://host:port/websocket",
        "wss://host:99999/websocket",
        "wss://[bad/websocket",
        "https://app.baseten.co/models/abc123",
        "https://model-abc123.api.baseten.co/",
        "://",
    ],
)
def test_what_is_no_websocket_url_is_an_error_that_shows_the_right_form(garbage: str) -> None:
    with pytest.raises(ValueError, match="model_endpoint") as e:
        new_stt(garbage)
    assert garbage in str(e.value)
    assert RIGHT_FORM in str(e.value)


@pytest.mark.parametrize("url", ["ws://example.com/websocket", "ws://10.0.0.7:8765/websocket"])
def test_plaintext_to_another_machine_is_refused_unless_asked_for_by_name(url: str) -> None:
    with pytest.raises(ValueError, match="unencrypted") as e:
        new_stt(url)
    assert "wss://" in str(e.value)
    assert "allow_plaintext" in str(e.value)
    new_stt(url, allow_plaintext=True)
    assert check_url(url, allow_plaintext=True) == url


@pytest.mark.parametrize(
    "url",
    [
        "ws://127.0.0.1:8765/websocket",
        "ws://127.9.9.9/websocket",
        "ws://localhost:8765/websocket",
        "ws://emulator.localhost/websocket",
        "ws://[::1]:8765/websocket",
    ],
)
def test_plaintext_to_this_machine_is_fine(url: str) -> None:
    assert check_url(url, allow_plaintext=False) == url


@pytest.mark.parametrize("host", ["localhost.example.com", "127.0.0.1.example.com", "notlocalhost"])
def test_a_host_that_only_looks_like_this_machine_is_another(host: str) -> None:
    with pytest.raises(ValueError, match="unencrypted"):
        check_url(f"ws://{host}/websocket", allow_plaintext=False)


@pytest.mark.parametrize("scheme", ["wss", "https", "http", "ws", "ftp"])
def test_credentials_in_a_url_are_refused_and_not_repeated(scheme: str) -> None:
    with pytest.raises(ValueError, match="api_key") as e:
        check_url(f"{scheme}://user:s3cret@{HOST}/predict", allow_plaintext=False)
    assert "s3cret" not in str(e.value)


# Identifiers


def test_a_model_is_found_in_production() -> None:
    assert resolved(model_id="abc123") == ENDPOINT


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (
            {"chain_id": "abc123"},
            "wss://chain-abc123.api.baseten.co/environments/production/websocket",
        ),
        (
            {"model_id": "abc123", "environment": "staging-2"},
            f"wss://{HOST}/environments/staging-2/websocket",
        ),
        (
            {"model_id": "abc123", "environment": "development"},
            f"wss://{HOST}/development/websocket",
        ),
        (
            {"model_id": "abc123", "deployment_id": "q1w2"},
            f"wss://{HOST}/deployment/q1w2/websocket",
        ),
        (
            {"chain_id": "abc123", "deployment_id": "q1w2"},
            "wss://chain-abc123.api.baseten.co/deployment/q1w2/websocket",
        ),
    ],
)
def test_identifiers_make_the_url(given: dict[str, str], url: str) -> None:
    assert resolved(**given) == url


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"model_endpoint": "wss://a/b", "model_id": "m"}, "model_endpoint and model_id: only"),
        ({"model_id": "m", "chain_id": "c"}, "model_id and chain_id: only"),
        ({"model_id": "m", "environment": "new", "deployment_id": "d"}, "deployment_id: has no"),
        ({"model_endpoint": "wss://a/b", "environment": "new"}, "environment: has no"),
    ],
)
def test_names_that_conflict_are_an_error_that_names_both(given: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        resolved(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"model_id": "model-abc/123"},
        {"model_id": "https://app.baseten.co/models/abc"},
        {"chain_id": "a b"},
        {"chain_id": "abc\n"},
        {"model_id": "abc", "deployment_id": "../x"},
        {"model_id": "abc", "environment": "a/b"},
        {"model_id": "abc", "environment": ""},
    ],
)
def test_an_identifier_that_is_none_is_an_error_that_names_it(given: dict[str, str]) -> None:
    name, value = list(given.items())[-1]
    with pytest.raises(ValueError, match=name) as e:
        resolved(**given)
    assert repr(value) in str(e.value)


def test_no_deployment_at_all_is_an_error_that_says_every_way_to_name_one() -> None:
    with pytest.raises(ValueError, match="no deployment") as e:
        baseten.STT(api_key=KEY)
    for way in ("model_endpoint", "model_id", "chain_id", "BASETEN_MODEL_ENDPOINT", RIGHT_FORM):
        assert way in str(e.value)


def test_the_environment_names_the_endpoint_if_no_argument_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BASETEN_MODEL_ENDPOINT", "no url")
    with pytest.raises(ValueError, match="no url"):
        baseten.STT(api_key=KEY)
    baseten.STT(api_key=KEY, model_endpoint=ENDPOINT)
    baseten.STT(api_key=KEY, model_id="abc123")
    baseten.STT(api_key=KEY, chain_id="abc123")
    monkeypatch.setenv("BASETEN_MODEL_ENDPOINT", ENDPOINT)
    baseten.STT(api_key=KEY)


# The key


def test_without_a_key_the_error_says_both_ways_to_give_one() -> None:
    with pytest.raises(ValueError, match="api_key") as e:
        baseten.STT(model_endpoint=ENDPOINT)
    assert "BASETEN_API_KEY" in str(e.value)


def test_an_empty_key_is_none() -> None:
    with pytest.raises(ValueError, match="BASETEN_API_KEY"):
        baseten.STT(model_endpoint=ENDPOINT, api_key="")


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASETEN_API_KEY", KEY)
    baseten.STT(model_endpoint=ENDPOINT)


@pytest.mark.parametrize(
    "key",
    ["tw0 w0rds", "l1ne-br3ak\n", "\u201cqu0ted\u201d", "t4b\th3re", '"qu0ted"', "'qu0ted'"],
)
def test_a_key_that_was_not_copied_whole_is_an_error_that_does_not_show_it(key: str) -> None:
    with pytest.raises(ValueError, match="api_key") as e:
        new_stt(api_key=key)
    shown = "".join(traceback.format_exception_only(e.value))
    assert key.strip() not in shown


def test_the_key_is_sent_and_never_shown() -> None:
    endpoint = Endpoint(ENDPOINT, KEY)
    assert endpoint.headers == {"Authorization": f"Api-Key {KEY}"}
    assert KEY not in f"{endpoint!r} {endpoint} {endpoint!a}"
    assert ENDPOINT in repr(endpoint)


async def test_the_key_is_in_no_repr_of_an_stt_or_a_stream() -> None:
    stt = new_stt()
    async with stt.stream() as stream:
        for shown in (stt, stream, stream.options, stt.capabilities):
            assert KEY not in f"{shown!r} {shown}"
    await stt.aclose()
