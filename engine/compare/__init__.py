"""One gradient, four ways: reverse mode, forward mode, numerical and symbolic differentiation, measured against high precision."""

from __future__ import annotations

from engine.compare.comparison import Comparison

__all__ = ["Comparison"]
