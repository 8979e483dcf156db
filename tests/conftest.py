"""What holds for every test, and how tests are shared out where several workers run them."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import kit.clock  # noqa: F401 - before LiveKit
import pytest
from kit.models import MODELS, Spoken

if TYPE_CHECKING:
    from livekit.plugins.baseten._core.options import Model


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist chooses
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Keep together what shares a fixture, whatever number of workers was asked for."""
    if config.getoption("dist", "") == "no" and config.getoption("numprocesses"):
        config.option.dist = "loadgroup"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Some tests wait, so each core has two. A third would be one more that imports LiveKit."""
    return 2 * max(2, os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: hears in real time, and is run after the others")
    config.addinivalue_line("markers", "xdist_group(name): tests that one worker runs")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Keep together what shares a fixture of its module, and the model: it is made once."""
    config.option.loadgroup = True  # workers are told of the command line only
    for item in items:
        assert not item.get_closest_marker("alone") or item.path.parent.name == "docs", (
            "make test looks for what is run alone in tests/docs"
        )
        if isinstance(item, pytest.Function) and _is_shared(item):
            model = item.callspec.params.get("model", "") if hasattr(item, "callspec") else ""
            item.add_marker(pytest.mark.xdist_group(f"{item.path.stem} {model}"))


def _is_shared(item: pytest.Function) -> bool:
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    return any(fixture.scope == "module" for found in fixtures for fixture in found)


def pytest_collection_finish() -> None:
    """What has been imported is no garbage: tests that look for some have less to look at."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_baseten_in_the_environment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if request.path.parent.name != "docs":  # examples are configured by it
        monkeypatch.delenv("BASETEN_API_KEY", raising=False)
        monkeypatch.delenv("BASETEN_MODEL_ENDPOINT", raising=False)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Model:
    """Whose dialect is spoken: a test runs over each, unless it is `only` for one."""
    name: Model = request.param
    monkeypatch.setattr(Spoken, "model", name)
    return name
