"""A module being written: imports, constants, private functions, each of them once."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Callable

import numpy as np

from engine.aval import Array
from engine.errors import LimitExceeded
from engine.graph import Constant
from engine.render.code.identifiers import Namespace
from engine.render.code.python.expr import filled, nested, scalar, shape, uniform, wrapped
from engine.render.code.python.library import Piece, piece, text_of

LISTED = 1000
"""Constants of more elements are written in base64."""
MOST_ELEMENTS = 500_000
"""Elements of all constants that a module may hold: about 5 MB of text."""

INSTEAD = {
    ("engine.ops.linear.factor", "refuse"): ("engine.render.code.python.helpers.linear", "refuse"),
}
"""Functions of the engine that raise its errors, and what stands for them in generated code."""


def _go_on() -> None:
    """Nobody waits."""


class Module:
    """The parts of a module in the order in which they are written; `space` are the names taken on its top level."""

    def __init__(self, space: Namespace, dtype: str, step: Callable[[], None] | None = None) -> None:
        self.step = step or _go_on
        """Called before each node; may raise."""
        self.space = space
        self.dtype = dtype
        self.imports: set[str] = {"import numpy as np"}
        self.constants: list[str] = []
        self.functions: list[str] = []
        self._pieces: dict[tuple[str, str], str] = {}
        self._texts: list[str] = []
        self._arrays: dict[Constant, str] = {}
        self._graphs: dict[object, str] = {}
        self._elements = 0

    # -- functions of ours

    def use(self, module: str, name: str) -> str:
        """The name of a function of our sources in this module, which then holds it."""
        todo: list[tuple[tuple[str, str], bool]] = [((module, name), False)]
        # Depth first, so that constants stand before what is computed from them.
        while todo:
            key, ready = todo.pop()
            key = INSTEAD.get(key, key)
            if key in self._pieces and not ready:
                continue
            found: Piece = piece(*key)
            if ready:
                self._texts.append(text_of(found, self._known))
                continue
            self._pieces[key] = self.space.take("_" + key[1].lstrip("_"))
            self.imports |= found.imports
            todo.append((key, True))
            todo += [(need, False) for need in reversed(found.needs)]
        return self._known((module, name))

    def helper(self, name: str, part: str = "arrays") -> str:
        """The name of one of the functions in `helpers/`."""
        return self.use(f"engine.render.code.python.helpers.{part}", name)

    def _known(self, key: tuple[str, str]) -> str:
        return self._pieces[INSTEAD.get(key, key)]

    # -- constants

    def constant(self, value: Array) -> str:
        """The name of a constant array. Raises `LimitExceeded` where the module would hold too many elements."""
        key = Constant(value)
        name = self._arrays.get(key)
        if name is None:
            self._elements += value.size if uniform(value) is None else 1
            if self._elements > MOST_ELEMENTS:
                raise LimitExceeded(
                    "code_elements",
                    MOST_ELEMENTS,
                    self._elements,
                    f"The program's constants hold {self._elements:,} elements or more; code can hold {MOST_ELEMENTS:,}. "
                    "Make the large ones inputs.",
                )
            name = self._arrays[key] = self.space.take(f"_C{len(self._arrays) + 1}")
            self.constants += wrapped(f"{name} = {self._array(value)}", 0)
        return name

    def _array(self, value: Array) -> str:
        dtype = str(value.dtype)
        one = uniform(value)
        if one is not None and value.size > 4:
            return filled(shape(value.shape), scalar(one, dtype), dtype)
        if value.size > LISTED:
            self.imports.add("import base64")
            little = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"))
            lines = textwrap.wrap(base64.b64encode(little.tobytes()).decode(), 92)
            data = "\n".join(f'    "{line}"' for line in lines)
            code = f"np.frombuffer(base64.b64decode(\n{data}\n), dtype={little.dtype.str!r})"
            return code + (f".reshape{shape(value.shape)}" if value.ndim != 1 else "")
        if not value.size:
            return f"np.zeros({shape(value.shape)}, np.{'bool_' if dtype == 'bool' else dtype})"
        plain = {"float64": "", "int64": ", np.int64", "bool": "", "float32": ", np.float32"}[dtype]
        return f"np.array({nested(value, dtype)}{plain})"

    # -- functions that graphs are

    def function(self, graph: object, write: Callable[[str], list[str]], wish: str) -> str:
        """The name of the function that a graph is; `write` gives its lines, the first time."""
        name = self._graphs.get(graph)
        if name is None:
            name = self._graphs[graph] = self.space.take(wish)
            self.functions += ["", "", *write(name)]
        return name

    def text(self, doc: list[str], main: list[str]) -> str:
        """The whole module."""
        standard = {"import base64", "import math"}
        standard |= {i for i in self.imports if i.split()[1].split(".")[0] in ("math", "itertools")}
        first = sorted(i for i in self.imports if i in standard)
        second = sorted((i for i in self.imports if i not in standard), key=lambda i: (i[0] != "i", i))
        lines = [*doc, "", *first, *([""] if first else []), *second]
        if self.constants:
            lines += ["", *self.constants]
        for text in self._texts:
            gap = [""] if not text.startswith(("def ", "class ")) else ["", ""]
            lines += [*gap, *text.split("\n")]
        return "\n".join([*lines, *self.functions, "", "", *main]) + "\n"
