"""The pytest plugin: `baseten_server`, `baseten_serve` and `baseten_caller`.

It is not in `livekit.plugins.baseten`, because pytest imports it whenever it starts, and that
package comes with LiveKit Agents. Nothing is imported here until a fixture is asked for.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import pluggy

    from livekit.plugins.baseten.emulator import ScriptedServer
    from livekit.plugins.baseten.testing import Caller

    Serve = Callable[..., ScriptedServer]

_SERVERS = pytest.StashKey[list["ScriptedServer"]]()

MARKER = (
    "baseten_server(*plan, **options): what the fixture `baseten_server` is served with: faults, "
    'model="qwen3-asr", api_key=..., and whatever else `ScriptedServer` takes'
)
NOT_INSTALLED = (
    "the fixtures of livekit-plugins-baseten need websockets: "
    'pip install "livekit-plugins-baseten[emulator]"'
)

UNUSED = (
    "@pytest.mark.baseten_server(...) has no effect: the test does not use the fixture "
    "`baseten_server`"
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def baseten_serve(request: pytest.FixtureRequest) -> Iterator[Serve]:
    """Starts a Baseten on this machine, each time it is called; they end with the test.

    It takes the arguments of `livekit.plugins.baseten.emulator.ScriptedServer`.
    """
    if importlib.util.find_spec("websockets") is None:
        pytest.fail(NOT_INSTALLED, pytrace=False)
    from livekit.plugins.baseten.emulator import ScriptedServer

    servers: list[ScriptedServer] = []
    request.node.stash[_SERVERS] = servers
    with contextlib.ExitStack() as running:

        def serve(*plan: object, **options: object) -> ScriptedServer:
            __tracebackhide__ = True
            made = ScriptedServer(*plan, **options)  # type: ignore[arg-type]
            why_not = ""
            try:
                servers.append(running.enter_context(made))
            except Exception as e:  # noqa: BLE001 - whatever it is, it is said in a line
                why_not = _why_not(e)
            if why_not:
                pytest.fail(why_not, pytrace=False)
            return made

        yield serve


@pytest.fixture
def baseten_server(request: pytest.FixtureRequest, baseten_serve: Serve) -> ScriptedServer:
    """A Baseten on this machine that hears what the test says it hears.

    `@pytest.mark.baseten_server(...)` says how it is served.
    """
    marker = request.node.get_closest_marker("baseten_server")
    if marker is None:
        return baseten_serve()
    try:
        return baseten_serve(*marker.args, **marker.kwargs)
    except (TypeError, ValueError) as e:
        pytest.fail(f"@pytest.mark.baseten_server(...): {e}", pytrace=False)


@pytest.fixture
def baseten_caller(baseten_server: ScriptedServer) -> Caller:
    """Somebody who calls the agent: `session.input.audio = baseten_caller`, then `say(...)`."""
    from livekit.plugins.baseten.testing import Caller

    return Caller(baseten_server)


def _why_not(error: Exception) -> str:
    told = f"baseten_server cannot be started: {str(error).rstrip('.') or type(error).__name__}"
    if type(error).__module__ == "pytest_socket":
        told += (
            ". It needs sockets on this machine: --allow-hosts=127.0.0.1 --allow-unix-socket in "
            "place of --disable-socket, or the test's fixture `socket_enabled`"
        )
    return told


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a test's own marker that nothing looks at."""
    is_marked = any(mark.name == "baseten_server" for mark in item.own_markers)
    names = getattr(item, "fixturenames", ())
    if is_marked and not {"baseten_server", "request"} & set(names):
        pytest.fail(UNUSED, pytrace=False)


@pytest.hookimpl(hookwrapper=True)  # the older kind, which every pytest has
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pluggy.Result[pytest.TestReport], None]:
    """Show with a test that failed what its servers had received."""
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        for server in item.stash.get(_SERVERS, []):
            said = server.report()
            if said.splitlines()[0] not in report.longreprtext:  # as where `until` has said it
                report.sections.append(("baseten_server", said))
