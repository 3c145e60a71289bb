"""What the elementwise ops have in common. The ops themselves are rows in `arithmetic`, `elementary`, `logic`, `activation`.

A row holds a NumPy function, one formula for each operand's partial derivative, LaTeX, the interval in which it is
smooth, and what is answered where it is not. Core operands all have the result's shape, or are scalars (literals).
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.aval import FLOAT64, Array, Aval, Avals, DType
from engine.builder import Builder, EagerBuilder, Var
from engine.errors import DtypeMismatch, ShapeMismatch
from engine.formula import Formula
from engine.kernels import MANY
from engine.op import Example, Into, Op, Operand, Params, Partial, Rule, Spelling, Zero, registry

ZERO = Zero()

OPERATORS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.divide: operator.truediv,
    np.negative: operator.neg,
    np.less: operator.lt,
    np.less_equal: operator.le,
    np.greater: operator.gt,
    np.greater_equal: operator.ge,
    np.equal: operator.eq,
    np.not_equal: operator.ne,
}
"""What Python calls some NumPy functions. Between NumPy scalars it takes a fifth of the time (45 ns, not 250)."""


def _writing(fn: np.ufunc) -> Callable[..., Any]:
    """A ufunc called with `out` as its last argument; two of them insist on its name."""
    if fn in (np.maximum, np.minimum):
        return lambda x, y, out: fn(x, y, out=out)
    return fn


class Elementwise(Op):
    """An op whose result entry i depends on operand entries i alone.

    `partials` are formulas in the operands a, b, c and the result y ("0" where the op is locally constant); `kink` is a
    formula that is true where `convention` replaces a derivative; `domain` gives for each operand an interval inside
    which the op is smooth; `boolean` says that the result is a mask; `weight` is its cost in additions; `into` tells how a
    function that is no ufunc writes into memory that is there, `view` that it hands its operand on; `scalar` is the value
    on plain numbers, for the tape (see `Op.scalar`).
    """

    elementwise = True

    def __init__(
        self,
        name: str,
        fn: Callable[..., Any],
        partials: tuple[str, ...],
        *,
        doc: str,
        latex: str,
        names: tuple[str, ...] = ("x", "y", "z"),
        aliases: tuple[str, ...] = (),
        family: str = "elementwise",
        domain: tuple[tuple[float, float], ...] = ((-2.0, 2.0),),
        derivative: Mapping[str, str] | None = None,
        convention: str = "",
        kink: str = "",
        boolean: bool = False,
        floating: bool = False,
        bools: bool = True,
        passes_integers: bool = False,
        masks: tuple[int, ...] = (),
        weight: float = 1.0,
        into: Into | None = None,
        view: bool = False,
        examples: tuple[Example, ...] = (),
        spellings: Mapping[str, Spelling] | None = None,
        scalar: str = "",
        scalar_partials: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.fn = fn
        self.scalar = scalar
        self.scalar_partials = scalar_partials
        self.__doc__ = doc
        self.latex = latex
        self.family = family
        self.aliases = aliases
        self.parameters = tuple(Operand(n, boolean=k in masks) for k, n in enumerate(names[: len(partials)]))
        self.rules: tuple[Rule, ...] = tuple(ZERO if p == "0" else Partial(Formula(p)) for p in partials)
        self.domain = domain
        self.derivative = derivative or {}
        self.convention = convention
        self.kink_formula = Formula(kink) if kink else None
        self.boolean = boolean
        self.floating = floating
        self.bools = bools
        self.passes_integers = passes_integers
        self.masks = masks
        self.weight = weight
        self.view = view
        if into is None and isinstance(fn, np.ufunc):
            into = Into(_writing(fn), tuple(range(fn.nin)), stretches=True)
        self.writer = into
        self.examples = examples
        self.spellings = spellings or {}
        self.plain = type(self).lower is Elementwise.lower and not masks
        """Whether operands of one floating shape make just one node."""

    def lower(self, b: Builder, *operands: Var, **attrs: Any) -> Var:
        """One node over operands stretched to their common shape."""
        result: Var = b.write(self, *b.broadcast(operands))
        return result

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The common shape; the common dtype, or bool."""
        first = avals[-1]
        if len(avals) == 1 or all(a == first for a in avals):
            if first == FLOAT64 and not self.boolean:
                return first
            shape, dtype = first
        else:
            shape = max((a.shape for a in avals), key=len)
            for a in avals:
                if a.shape not in ((), shape):
                    raise ShapeMismatch(
                        f"{self.name}: shapes {[list(v.shape) for v in avals]} are not equal."
                    )
            dtypes = {a.dtype for k, a in enumerate(avals) if k not in self.masks}
            if len(dtypes) > 1:
                raise DtypeMismatch(f"{self.name}: dtypes {[v.dtype for v in avals]} are not equal.")
            dtype = next(iter(dtypes), "bool")
        if dtype == "bool" and not self.bools:
            raise DtypeMismatch(
                f"{self.name} is not defined for booleans. Use logical_not, logical_xor, or where(mask, 1, 0)."
            )
        return Aval(shape, "bool" if self.boolean else dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """The NumPy function."""
        return self.fn(*arrays)

    def calculation(self, avals: Sequence[Aval], params: Params) -> Callable[..., Any]:
        """The NumPy function; between two scalars of one dtype the operator, which gives the same, sooner."""
        if params:
            return super().calculation(avals, params)
        first = avals[0]
        if first.shape == () and first.dtype != "bool" and all(a == first for a in avals):
            return OPERATORS.get(self.fn, self.fn)
        return self.fn

    def into(self, avals: Sequence[Aval], params: Params) -> Into | None:
        """A ufunc takes `out`."""
        return self.writer

    def kink(self, arrays: Sequence[Array], y: Array, **params: Any) -> Array | None:
        """Mask from the `kink` formula."""
        if self.kink_formula is None:
            return None
        names: dict[str, Any] = dict(zip(("a", "b", "c"), arrays, strict=False))
        names["y"] = y
        mask: Array = np.asarray(self.kink_formula.write(EagerBuilder(str(np.asarray(y).dtype)), names))  # type: ignore[arg-type]  # a floating dtype: only such nodes have kinks
        return mask

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """`weight` for each element."""
        assert isinstance(result, Aval)
        return self.weight * result.size


class Kernelled(Elementwise):
    """An op with a kernel of ours for long arrays: `kernel(*operands, out=None)`, for the dtypes in `kernel_dtypes`.

    For shorter ones, other dtypes and numbers there is the NumPy function. Which one computes depends on the size of the
    whole array, so that a plan that computes it in tiles gives the same bits.
    """

    whole: int | None = None
    """Elements of the array that the operands are pieces of."""

    def __init__(
        self,
        name: str,
        fn: np.ufunc,
        partials: tuple[str, ...],
        *,
        kernel: Callable[..., Array],
        kernel_dtypes: tuple[str, ...] = ("float64",),
        **more: Any,
    ) -> None:
        def chosen(*xs: Any) -> Any:
            for x in xs:
                if isinstance(x, np.ndarray) and x.size >= MANY and x.dtype in kernel_dtypes:
                    return kernel(*xs)
            return fn(*xs)

        super().__init__(name, chosen, partials, **more)
        over = tuple(range(fn.nin))
        self.few, self.many = Into(fn, over, stretches=True), Into(kernel, over, stretches=True)
        self.kernel_dtypes = kernel_dtypes

    def of_size(self, size: int) -> Op:
        """The op, which remembers."""
        sized = copy.copy(self)
        sized.whole = size
        return sized

    def calculation(self, avals: Sequence[Aval], params: Params) -> Callable[..., Any]:
        """The kernel or the NumPy function."""
        return self.into(avals, params).write

    def into(self, avals: Sequence[Aval], params: Params) -> Into:
        """The kernel or the NumPy function."""
        size = max(a.size for a in avals) if self.whole is None else self.whole
        return self.many if avals[0].dtype in self.kernel_dtypes and size >= MANY else self.few


def converted(x: Any, out: Array) -> None:
    """A copy in another dtype. A float that no integer stands for becomes the smallest one, silently."""
    np.copyto(out, x, casting="unsafe")


class Cast(Op):
    """Conversion to another dtype; linear between floating dtypes, without derivative to and from integers."""

    name = "cast"
    family = "core"
    internal = True
    elementwise = True

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operand's shape, the new dtype."""
        return Aval(avals[0].shape, params["dtype"])

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """The converted array. A float that no integer stands for becomes the smallest one, silently."""
        dtype: DType = params["dtype"]
        return np.asarray(arrays[0]).astype(dtype)[()]

    def into(self, avals: Sequence[Aval], params: Params) -> Into | None:
        """Converted while it is copied."""
        return Into(converted)

    rules = (Partial(Formula("1")),)


registry.add(Cast())
