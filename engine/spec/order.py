"""Evaluation order of nodes that were posted in any order, and the cycles that leave them without one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

NEW, OPEN, DONE = 0, 1, 2


class Order(NamedTuple):
    """Positions in evaluation order; where there is none, cycles: each node needs the next, the last the first.

    `omitted` counts cycles that were found but not followed.
    """

    order: list[int]
    cycles: list[list[int]]
    omitted: int


def evaluation_order(needs: Sequence[Sequence[object]], most_cycles: int = 20) -> Order:
    """An order in which each node comes after those it needs.

    `needs[i]` holds the positions that node i needs; what is no int in it is passed over (literals). The order is
    depth first: nodes come as they were posted, each preceded by what it needs and has not come yet. So a list that is
    in order already stays as it is, and every other list has exactly one result. Linear in the number of edges, without
    recursion.
    """
    order: list[int] = []
    cycles: list[list[int]] = []
    omitted = 0
    told: set[int] = set()
    state = bytearray(len(needs))
    for root in range(len(needs)):
        if state[root] != NEW:
            continue
        state[root] = OPEN
        path, rest = [root], [iter(needs[root])]
        while path:
            for j in rest[-1]:
                if type(j) is not int or state[j] == DONE:
                    continue
                if state[j] == NEW:
                    state[j] = OPEN
                    path.append(j)
                    rest.append(iter(needs[j]))
                    break
                # An open node is on the path, so this edge closes a cycle; one is told once, whatever else closes it.
                if j in told or path[-1] in told:
                    continue
                if len(cycles) < most_cycles:
                    cycles.append(path[path.index(j) :])
                    told.update(cycles[-1])
                else:
                    omitted += 1
            else:
                rest.pop()
                state[path[-1]] = DONE
                order.append(path.pop())
    return Order(order, cycles, omitted)
