"""One gradient, four ways: by reverse mode, forward mode, differences and formula, measured against high precision."""

from __future__ import annotations

from engine.compare.comparison import Comparison

__all__ = ["Comparison"]
