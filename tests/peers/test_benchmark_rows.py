"""Rows of the benchmark at small sizes: that the answers agree. What else they are measured beside is not installed here."""

from __future__ import annotations

import pytest

from benchmarks.objectives.adjustment import adjustment
from benchmarks.rows import networks

pytestmark = pytest.mark.peers


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-11)])
def test_networks(dtype: str, tolerance: float) -> None:
    networks.case(8, 5, dtype, tolerance).check()


def test_bundle_adjustment() -> None:
    adjustment(quick=True).check()
