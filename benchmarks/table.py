"""The rows, in the order of the table of targets. A new one is a line here."""

from __future__ import annotations

from benchmarks.row import Row
from benchmarks.rows import (
    arrays,
    matrices,
    networks,
    objectives,
    points,
    posted_graphs,
    requests,
    rosenbrock,
    scalar_graphs,
    scaling,
    start,
)

ROWS: tuple[Row, ...] = (
    requests.ROW,
    rosenbrock.ROW,
    scalar_graphs.ROW,
    posted_graphs.ROW,
    points.ROW,
    networks.ROW,
    objectives.ROW,
    matrices.ROW,
    arrays.ROW,
    scaling.ROW,
    start.ROW,
)
