"""The rows, in the order of the table of targets. A new one is a line here."""

from __future__ import annotations

from benchmarks.row import Row
from benchmarks.rows import matrices, networks, objectives, points, scalar_graphs

ROWS: tuple[Row, ...] = (
    scalar_graphs.ROW,
    points.ROW,
    networks.ROW,
    objectives.ROW,
    matrices.ROW,
)
