"""Our side, inside the engine: a request prepared once, then run again with other numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine import ops  # noqa: F401  # fills the registry
from engine.cost import Limits
from engine.derive import Job, Plans, Request, prepare
from engine.execute.meter import Meter
from engine.kernels import arrays
from engine.language import parse_text
from engine.program import Program
from engine.spec import read_graph
from engine.tape import machine
from engine.values import Given

LIMITS = Limits(
    nodes=10_000_000, elements=200_000_000, memory_bytes=16 << 30, flops=10**15, step_flops=10**14,
    response_elements=200_000_000,
)  # fmt: skip
"""No limit is what is measured."""


def compiled() -> None:
    """Have the compiled loops, which a server loads in the background. Raises where there is no Numba."""
    if not (machine.load() and arrays.load()):
        raise RuntimeError("The compiled loops could not be loaded; the extra `fast` (Numba) is missing.")


def program(source: str | Mapping[str, Any], names: Sequence[str] = ()) -> Program:
    """A program from text or from a JSON graph."""
    return parse_text(source, inputs=list(names)) if isinstance(source, str) else read_graph(dict(source))


def given(value: Any) -> Given:
    """A value as the service hands it to the engine, without its way through JSON."""
    array = np.asarray(value)
    return Given(array, array.dtype.kind == "f", array.dtype.kind == "i")


def request(source: Program, inputs: Mapping[str, Any], **fields: Any) -> Request:
    """A request with the fields of the contract."""
    return Request(source, {name: given(value) for name, value in inputs.items()}, **fields)


class Prepared:
    """A verb of a program, prepared once and bound to each data set (all of the first one's shapes)."""

    def __init__(
        self,
        verb: str,
        source: str | Mapping[str, Any] | Program,
        data: Sequence[Mapping[str, Any]],
        **fields: Any,
    ) -> None:
        self.verb = verb
        self.program = source if isinstance(source, Program) else program(source, list(data[0]))
        self.requests = [request(self.program, d, **fields) for d in data]
        self.plans = Plans(most_bytes=1 << 40)
        self.jobs = [self._job(r) for r in self.requests]

    def _job(self, asked: Request) -> Job:
        return prepare(self.verb, asked, LIMITS, plans=self.plans)

    def run(self, k: int) -> dict[str, Any]:
        """`job.run` with data set k."""
        return self.jobs[k % len(self.jobs)].run(Meter())

    def again(self, k: int) -> dict[str, Any]:
        """`prepare` and `run`, as a request does that comes again with other numbers."""
        return self._job(self.requests[k % len(self.requests)]).run(Meter())


def page() -> dict[str, str]:
    """The programs of docs/gallery.md by the heading they stand under (numbered where there are several)."""
    text = (Path(__file__).parent.parent / "docs" / "gallery.md").read_text("utf-8")
    found: dict[str, str] = {}
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        title = section.splitlines()[0].strip()
        for k, code in enumerate(re.findall(r"```python no-run\n(.*?)```", section, re.S)):
            found[f"{title} {k}" if k else title] = code
    return found
