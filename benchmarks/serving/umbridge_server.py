"""Rosenbrock's function as an UM-Bridge model with a gradient written by hand in NumPy; the port is the one argument."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import umbridge


class Rosenbrock(umbridge.Model):  # type: ignore[misc]  # the package is not typed
    """One input of any length: the protocol asks for its size, which the configuration names."""

    def __init__(self) -> None:
        super().__init__("rosenbrock")

    def get_input_sizes(self, config: dict[str, Any]) -> list[int]:
        """Size of the point."""
        return [int(config["n"])]

    def get_output_sizes(self, config: dict[str, Any]) -> list[int]:
        """A number."""
        return [1]

    def __call__(self, parameters: list[list[float]], config: dict[str, Any]) -> list[list[float]]:
        """The value."""
        x = np.array(parameters[0])
        return [[float(np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2))]]

    def gradient(
        self,
        out_wrt: int,
        in_wrt: int,
        parameters: list[list[float]],
        sens: list[float],
        config: dict[str, Any],
    ) -> list[float]:
        """sens times the gradient."""
        x = np.array(parameters[0])
        r = x[1:] - x[:-1] ** 2
        g = np.zeros_like(x)
        g[1:] = 200.0 * r
        g[:-1] -= 400.0 * x[:-1] * r + 2.0 * (1.0 - x[:-1])
        return (sens[0] * g).tolist()

    def supports_evaluate(self) -> bool:
        """Yes."""
        return True

    def supports_gradient(self) -> bool:
        """Yes."""
        return True


if __name__ == "__main__":
    umbridge.serve_models([Rosenbrock()], int(sys.argv[1]))
