"""What names mean: module prefixes and imports, constants, dtypes, and the names that nothing else may have."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Sequence

from engine.errors import nearest, quoted
from engine.language.hints import Refused
from engine.language.syntax import Attribute, Expression, Import, Name
from engine.op import NAMESPACES, registry

MODULES: dict[str, str] = {
    "numpy": "numpy",
    "numpy.linalg": "numpy.linalg",
    "math": "math",
    "scipy": "scipy.special",
    "scipy.special": "scipy.special",
    "scipy.linalg": "scipy.linalg",
    "scipy.integrate": "numpy",
    "jax": "numpy",
    "jax.ops": "numpy",
    "jax.numpy": "numpy",
    "jax.lax": "numpy",
    "jax.numpy.linalg": "numpy.linalg",
    "jax.scipy": "scipy.special",
    "jax.scipy.special": "scipy.special",
    "jax.scipy.linalg": "scipy.linalg",
    "autograd": "numpy",
    "autograd.numpy": "numpy",
    "autograd.numpy.linalg": "numpy.linalg",
    "autograd.scipy": "scipy.special",
    "autograd.scipy.special": "scipy.special",
    "torch": "torch",
    "torch.nn": "torch",
    "torch.nn.functional": "torch",
    "torch.linalg": "torch.linalg",
    "torch.special": "torch",
}
"""Modules that may be imported, and the library under whose names the catalogue is searched for their functions."""

PREFIXES: dict[str, str] = {
    "np": "numpy",
    "numpy": "numpy",
    "jnp": "jax.numpy",
    "jax": "jax",
    "lax": "jax.lax",
    "math": "math",
    "linalg": "numpy.linalg",
    "special": "scipy.special",
    "scipy": "scipy",
    "sp": "scipy",
    "sla": "scipy.linalg",
}
"""Module prefixes that need no import line."""

assert {p.split(".")[0] for p in NAMESPACES} <= set(PREFIXES)

SOFT: dict[str, str] = {"torch": "torch", "F": "torch.nn.functional"}
"""Module prefixes where the text uses the name in no other way (`soft_prefixes`), and the request gives it no value."""

_AS_MODULE = {
    "torch": re.compile(r"\.[^\W\d]\w*[.(]|\.(pi|e|inf|nan|float64|float32|int64|double|bool)\b"),
    # F.relu(x), but not F.relu() or F.softmax(0) or F.softmax(axis=0), where F may be an array.
    "F": re.compile(r"\.(?P<name>[^\W\d]\w*)\((?!\w+\s*=[^=])[^\W\d]"),
}


def soft_prefixes(text: str, taken: Collection[str]) -> dict[str, str]:
    """The names of `SOFT` that are modules in this text: each use of them is a call of a function of that module."""
    found = {}
    for name, module in SOFT.items():
        uses = [m.end() for m in re.finditer(rf"(?<![\w.]){name}\b", text)] if name not in taken else []
        calls = [_AS_MODULE[name].match(text, at) for at in uses]
        if calls and all(m is not None and (name != "F" or _layer(m["name"])) for m in calls):
            found[name] = module
    return found


def _layer(name: str) -> bool:
    op = registry.get(name)
    return op is not None and (op.family == "nn" or name in ("pad", "one_hot"))


_TWO = "torch.{0} along a dim gives values and indices; here {1}."
OTHERWISE: dict[str, dict[str, str]] = {
    "torch": {
        "median": "torch.median is the lower of two middle entries; median(x, axis) here is their mean, as NumPy's.",
        "nanmedian": "torch.nanmedian is the lower of two middle entries; nanmedian(x, axis) here is their mean, as NumPy's.",
        "sort": _TWO.format("sort", "sort(x, axis) gives the sorted array, argsort(x, axis) the indices"),
        "split": "torch.split takes the size of the parts; split(x, n) here takes their number, as NumPy's.",
        "pad": "torch's pad counts from the last axis; pad(x, widths) here takes a pair for each axis, as NumPy's.",
        "repeat": "torch's repeat is tile(x, reps); repeat(x, n) here repeats entries, as NumPy's.",
    }
}
"""Functions that mean something else in their library than the op of that name here."""

CONSTANTS: dict[str, float] = {"pi": math.pi, "e": math.e, "inf": math.inf, "nan": math.nan}
"""Names that are numbers, unless the program or the request gives them another meaning."""

MODULE_CONSTANTS: dict[str, float | None] = {
    **CONSTANTS,
    "tau": math.tau,
    "euler_gamma": 0.5772156649015329,
    "Inf": math.inf,
    "infty": math.inf,
    "NaN": math.nan,
    "newaxis": None,
}
"""Constants behind a module prefix."""

DTYPES: dict[str, str] = {
    "float64": "float64",
    "float32": "float32",
    "float16": "float16",
    "double": "float64",
    "single": "float32",
    "int64": "int64",
    "int32": "int32",
    "bool_": "bool",
    "float": "float64",
    "int": "int64",
    "bool": "bool",
}
"""Names of dtypes: as arguments all of them behind a prefix, the last three bare."""

BUILTIN_DTYPES = ("float", "int", "bool")

_SAME: dict[str, str] = {"π": "pi", "ℯ": "e", "𝜋": "pi", "𝑒": "e"}
"""Letters that one takes for a constant."""

_NEEDLESS: dict[str, str] = {
    "print": "print is not needed: the last statement is the result, and every node's value is reported.",
    "range": "range stands behind `in`: for i in range(n):. An array of consecutive integers is np.arange(n).",
    "input": "input is not needed: every name that the program does not assign is an input.",
    "list": "list is not needed: an array is written [a, b], or stack(a, b).",
    "tuple": "tuple is not needed: an array is written [a, b], or stack(a, b).",
    "enumerate": "enumerate stands behind `in`: for i, x in enumerate(xs):.",
    "zip": "zip stands behind `in`: for x, y in zip(xs, ys):.",
    "reversed": "reversed stands behind `in`: for i in reversed(range(n)):. An array backwards is x[::-1].",
    "append": "append is not offered, since arrays never change: scan and map stack what their steps return.",
    "vectorize": "vectorize is not needed: operations work on whole arrays. For the rest there is vmap(f).",
    "partial": "partial is not offered: write def g(x): return f(x, 2).",
    "reduce": "reduce is not offered: write a `for` loop, or use scan.",
    "dropout": "Dropout is not offered: it draws random numbers, and a program is a function of its inputs alone. Draw a "
    "mask outside, give it as an input, and multiply.",
    "rrelu": "rrelu is not offered: it draws random slopes, and a program is a function of its inputs alone; see leaky_relu.",
    "complex": "Complex numbers are not offered: write real and imaginary part as two expressions.",
}
"""Functions that people look for and that are no ops."""


_NO_METHODS: dict[str, str] = {
    "sort": "x.sort() sorts an array in place, and nothing is changed in place here: sort(x) is the sorted array.",
    "partition": "x.partition(k) works in place, and nothing is changed in place here; sort(x) is a partition, too.",
    "fill": "x.fill(v) works in place, and nothing is changed in place here: full_like(x, v) is the filled array.",
    "put": "x.put(…) works in place, and nothing is changed in place here: x.at[i].set(v), or scatter_set(x, i, v).",
    "resize": "x.resize(…) works in place, and nothing is changed in place here: resize(x, shape) is the new array.",
    "itemset": "x.itemset(…) works in place, and nothing is changed in place here: x.at[i].set(v) is the new array.",
    **dict.fromkeys(
        ("append", "extend", "insert", "pop", "remove", "reverse", "clear"),
        "Lists and arrays are not changed in place here: y = concat([y, [v]]) is one with a last entry more, and scan, map or "
        "y.at[i].set(v) collect what the steps of a loop give.",
    ),
    "setflags": "x.setflags() is not needed: no array is changed in place.",
    "tolist": "x.tolist() is not needed: every value is reported, as nested lists.",
    "numpy": "x.numpy() is not needed: every value is reported.",
    "backward": "x.backward() is not needed: the derivative is what the request's verb asks for.",
}
"""Methods of arrays elsewhere that are no functions of them."""


class Modules:
    """The module prefixes of one program: the usual ones, and those of its import lines.

    `functions` holds what `from m import f as g` imports: the name in this program, to the name and its library.
    """

    def __init__(self) -> None:
        self.prefixes = dict(PREFIXES)
        self.functions: dict[str, tuple[str, str]] = {}
        self.constants: dict[str, str] = {}

    def add(self, line: Import) -> None:
        """Take note of an import line. Raises `Refused` for a module that is not known."""
        module, alias = line.module
        if module not in MODULES:
            near = nearest(module, MODULES)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise Refused(
                line.at,
                f"There is no module {quoted(module)} here.{hint} Import lines are not needed; known are numpy, math, "
                "scipy.special, scipy.linalg and jax.numpy.",
                near,
            )
        if line.names is None:
            if alias != module:
                self.prefixes[alias] = module
            else:
                first = module.partition(".")[0]
                self.prefixes.setdefault(first, first)
            return
        for name, here in line.names:
            if f"{module}.{name}" in MODULES:
                self.prefixes[here] = f"{module}.{name}"
            elif name in MODULE_CONSTANTS:
                self.constants[here] = name
            else:
                self.functions[here] = (name, MODULES[module])

    def resolve(self, node: Attribute) -> tuple[str, str] | None:
        """(module, name) of `np.linalg.norm`; None where the dots read attributes of a value.

        Raises `Refused` for a part of a module that is not known.
        """
        parts = [node]
        value: Expression = node.value
        while type(value) is Attribute and len(parts) < 5:
            parts.append(value)
            value = value.value
        if type(value) is not Name or value.name not in self.prefixes:
            return None
        module = self.prefixes[value.name]
        while len(parts) > 1:
            part = parts.pop()
            inner = f"{module}.{part.name}"
            if inner not in MODULES:
                raise Refused(part.at, _no_module(inner))
            module = inner
        return module, node.name


def _no_module(module: str) -> str:
    if module.endswith(".random"):
        return (
            "Random numbers are not offered: a program is a function of its inputs alone. Draw them outside, and give "
            "them as an input."
        )
    if module.endswith(".fft"):
        return (
            "Fourier transforms are not offered: they are complex, and every array is real. A cosine or sine transform "
            "is a product with a matrix of cosines or sines."
        )
    name = module.rpartition(".")[2]
    if name in registry:
        return (
            f"Methods of functions ({name}.reduce, .accumulate, .at, .outer) are not offered: there are sum, prod, max, min; "
            "cumsum, cumprod, cummax, cummin; scatter_add, scatter_max; and x[:, None] for all pairs."
        )
    return (
        f"There is no module {quoted(module)} here; known are numpy, numpy.linalg, math, scipy.special, scipy.linalg "
        "and jax.numpy."
    )


def module_name(name: str) -> str:
    """What to say about a module's name in the place of a variable."""
    return f"{name} is the name of a module here; an input or a result needs another name, such as {name}_."


def lookalike(name: str) -> str | None:
    """What to say about a free name that reads as a constant; None if it does not."""
    meant = _SAME.get(name)
    return (
        f"The constant is written {meant}, not {quoted(name)}; an input needs another name."
        if meant
        else None
    )


def needless(name: str) -> str | None:
    """What to say about a call of a function that is no op but that one looks for; None if there is nothing."""
    return _NEEDLESS.get(name)


def no_method(name: str) -> str | None:
    """What to say about a method that changes its array, or that is not needed; None for any other."""
    return _NO_METHODS.get(name)


def unknown_constant(module: str, name: str, ops: Iterable[str]) -> tuple[str, Sequence[str]]:
    """What to say about `np.name` without a call."""
    if name in ops:
        return f"{module}.{name} is a function: call it, {name}(…).", (name,)
    near = nearest(name, MODULE_CONSTANTS)
    hint = f" Did you mean {near[0]}?" if near else " There are pi, e, inf, nan and newaxis."
    return f"There is no constant {quoted(name)} in {module}.{hint}", near
