"""Which machine a test runs on."""

from __future__ import annotations

import importlib.util
import os

import pytest

from engine.tape import machine


def needs_numba() -> None:
    """Skip where Numba is not installed; in CI it must be."""
    if importlib.util.find_spec("numba") is None and not os.environ.get("WENGERT_REQUIRE_TOOLS"):
        pytest.skip("Numba is not installed")


@pytest.fixture(params=["plain", "native"])
def on(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One machine, then the other."""
    name: str = request.param
    if name == "native":
        needs_numba()
        assert machine.load()
    else:
        monkeypatch.setattr(machine.STATE, "begun", True)
        monkeypatch.setattr(machine.STATE, "native", None)
    return name


@pytest.fixture
def native() -> machine.Native:
    """The compiled machine."""
    needs_numba()
    assert machine.load()
    assert machine.STATE.native is not None
    return machine.STATE.native
