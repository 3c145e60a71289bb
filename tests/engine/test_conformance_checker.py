"""The checker checked: rules that are wrong on purpose, each of which it must find, and in the place where it is wrong.

A fake is a copy of a real op with one thing changed; it is never registered. The same copy without the change must pass,
so that no fault is found for the wrong reason.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine.ops  # noqa: F401  # fills the registry
from engine.builder import EagerBuilder, Var, call
from engine.formula import Formula
from engine.op import Attr, Example, General, Kind, Linear, Op, Operand, Partial, Zero, registry
from engine.transforms.strong import times
from engine.transforms.vmap import lead
from tests.engine.conformance import Fixed, Reference, complex_step, examine, ridders
from tests.engine.references import REFERENCES


def fake(name: str, /, **changes: Any) -> Op:
    """A copy of a registered op with attributes and methods replaced, which writes itself wherever the op writes itself."""
    real = registry.core(name)
    op = copy.copy(real)
    changes.setdefault("lower", written_with(real, op, real))
    for key, value in changes.items():
        setattr(op, key, value)
    return op


def inside(name: str, core: str, **changes: Any) -> Op:
    """A copy of a registered op that is written with a fake of another op, one which users cannot name."""
    real = registry.core(core)
    other = copy.copy(real)
    for key, value in changes.items():
        setattr(other, key, value)
    op = copy.copy(registry.core(name))
    op.lower = written_with(op, other, real)  # type: ignore[method-assign]
    return op


def written_with(op: Op, other: Op, real: Op) -> Callable[..., Any]:
    """The op's `lower`, with `other` wherever it writes `real`."""

    def lower(b: Any, *operands: Any, **attrs: Any) -> Any:
        emit, core = b.emit, b.core
        b.emit = lambda o, refs, params=(): emit(other if o is real else o, refs, params)
        b.core = lambda o, *refs, **params: b.emit(registry.core(o), refs, tuple(sorted(params.items())))
        try:
            return type(op).lower(other if op is real else op, b, *operands, **attrs)
        finally:
            b.emit, b.core = emit, core

    return lower


def partials(name: str, *formulas: str | None) -> Op:
    """A copy with other partial derivatives; None keeps the op's own, "0" drops it."""
    op = fake(name)
    rules = list(op.rules)
    for k, text in enumerate(formulas):
        if text is not None:
            rules[k] = Zero() if text == "0" else Partial(Formula(text))
    op.rules = tuple(rules)
    return op


def scaled(name: str, k: int, factor: float) -> Op:
    """A copy whose rule for operand k is wrong by a factor."""
    op = fake(name)
    rule = op.rule(k)
    rules = [op.rule(j) for j in range(max(len(op.rules), k + 1))]
    if isinstance(rule, Partial):
        rules[k] = Partial(Formula(f"{factor} * ({rule.formula.text})"))
    elif isinstance(rule, Linear):
        transpose = rule.transpose
        rules[k] = Linear(lambda *args, **params: transpose(*args, **params) * factor, rule.joint)
    else:
        jvp = op.jvp

        def wrong(y: Any, xs: Any, dxs: Any, **params: Any) -> Any:
            only = [dx if j == k else None for j, dx in enumerate(dxs)]
            rest = [None if j == k else dx for j, dx in enumerate(dxs)]
            own = jvp(y, xs, only, **params) * factor if only[k] is not None else None
            other = jvp(y, xs, rest, **params) if any(dx is not None for dx in rest) else None
            return own if other is None else other if own is None else own + other

        op.jvp = wrong  # type: ignore[method-assign]
    op.rules = tuple(rules)
    return op


FROZEN = fake("identity", rules=(Zero(),))
"""A value without derivative: what hides behind it is missing from the next order only."""


def frozen(v: Var) -> Var:
    """The value, cut off from differentiation."""
    result: Var = v.b.write(FROZEN, v)
    return result


# ------------------------------------------------------------------------------------------------------------- faults


def softmax_jvp(second: bool = False, mean: bool = True) -> Callable[..., Any]:
    """Softmax's rule without its mean, or with a result that has no derivative of its own."""

    def jvp(y: Any, xs: Any, dxs: Any, **params: Any) -> Any:
        p = frozen(y) if second else y
        tangent = times(dxs[0], p)
        if not mean:
            return tangent
        total = call(y.b, "sum", tangent, axis=params["axes"], keepdims=True)
        return tangent - p * total

    return jvp


def plain_root(y: Any, xs: Any, dxs: Any, **params: Any) -> Any:
    """The square root's rule with a plain product, which makes NaN of a zero tangent and an infinite slope."""
    return dxs[0] * (0.5 / y)


def loud(*arrays: Any, **params: Any) -> Any:
    """A value that writes into its operand."""
    if isinstance(arrays[0], np.ndarray):
        arrays[0][...] = np.exp(arrays[0])
        return arrays[0]
    return np.exp(arrays[0])


def eager_only(b: Any, *operands: Any, **attrs: Any) -> Any:
    """Another value where arrays are computed at once."""
    v = b.write("sin", operands[0])
    return v * (1 + 1e-9) if isinstance(b, EagerBuilder) else v


def not_broadcast(op: Op) -> Op:
    """A copy that writes its operands as they come."""
    op.lower = lambda b, *operands, **attrs: b.write(op, *operands)  # type: ignore[method-assign]
    return op


def index_error(op: Op) -> Op:
    """A copy that looks at a last axis without asking whether there is one."""
    lower = op.lower

    def careless(b: Any, *operands: Any, **attrs: Any) -> Any:
        assert operands[0].shape[-1] >= 0
        return lower(b, *operands, **attrs)

    op.lower = careless  # type: ignore[method-assign]
    return op


def first_axes(x: Any, axes: Any) -> Any:
    """A sum whose axes are counted from the front of what is there."""
    return np.sum(x, axis=tuple(range(len(axes))))


def unmapped(op: Op) -> Op:
    """A copy that maps its first operand and takes the first member of the others."""

    def vmap(b: Any, size: int, operands: Any, mapped: Any, **params: Any) -> Any:
        first = [
            v if k == 0 or not m else b.write("broadcast_to", take_first(v), shape=v.shape)
            for k, (v, m) in enumerate(zip(operands, mapped, strict=True))
        ]
        led = [lead(b, v, size, m).ref for v, m in zip(first, mapped, strict=True)]
        return b.emit(op, led, tuple(sorted(op.batched(size, params).items())))

    op.vmap = vmap  # type: ignore[method-assign]
    return op


def take_first(v: Var) -> Var:
    """Member 0 of a batch."""
    result: Var = v.b.write("slice", v, index=((0, 1, 1), *((0, n, 1) for n in v.shape[1:])))
    return result


def square_literal(op: Op) -> Op:
    """A copy of pow that takes the literal 3 for 2.999."""
    lower = op.lower

    def wrong(b: Any, *operands: Any, **attrs: Any) -> Any:
        x, y = operands
        if y.literal and float(b.literal_value(y)) == 3.0:
            y = b.var(2.999)
        return lower(b, x, y, **attrs)

    op.lower = wrong  # type: ignore[method-assign]
    return op


def integers_differ(x: Any, y: Any) -> Any:
    """A sum that is a difference for integers."""
    return np.subtract(x, y) if np.asarray(x).dtype.kind == "i" else np.add(x, y)


def transposed_twice(ct: Any, k: int, operands: Any, *, axes: Any) -> Any:
    """A permutation taken back by itself instead of by its inverse."""
    return ct.b.write("permute_dims", ct, axes=axes)


def unsummed(ct: Any, k: int, operands: Any, **params: Any) -> Any:
    """A cotangent of a stretched array that keeps its stretched shape."""
    return ct


def opaque(value: Any) -> Any:
    """An attribute in a form that is no JSON."""
    return frozenset(value if isinstance(value, list | tuple) else [value])


def without_last(core: str) -> Callable[..., Any]:
    """The op's way back without the cotangent of the last operand that is wanted."""
    real = registry.core(core)

    def pull(b: Any, xs: Any, ys: Any, cts: Any, wanted: Any, **params: Any) -> Any:
        return [*real.pull(b, xs, ys, cts, wanted, **params)[:-1], None]

    return pull


def pushed(core: str, factor: float) -> Callable[..., Any]:
    """The op's way forward, wrong by a factor."""
    real = registry.core(core)

    def push(b: Any, xs: Any, dxs: Any, **params: Any) -> Any:
        return [None if v is None else v * factor for v in real.push(b, xs, dxs, **params)]

    return push


def first_of_set(b: Any, *operands: Any, **attrs: Any) -> Any:
    """Softmax along the axis in such an attribute."""
    axis = attrs["axis"]
    return call(b, "softmax", operands[0], axis=axis if isinstance(axis, int) else max(axis))


FAULTS: dict[str, tuple[Callable[[], Op], str]] = {
    # Partial derivatives.
    "exp by 0.1 %": (lambda: scaled("exp", 0, 1.001), "jvp"),
    "sin with the wrong sign": (lambda: scaled("sin", 0, -1.0), "jvp"),
    "tanh by 0.1 %": (lambda: scaled("tanh", 0, 0.999), "exact"),
    "multiply without its second operand": (lambda: partials("multiply", None, "0"), "jvp"),
    "divide by 0.1 % in its second operand": (lambda: scaled("divide", 1, 1.001), "jvp"),
    "pow with the wrong sign in its exponent": (lambda: scaled("pow", 1, -1.0), "jvp"),
    "atan2 with its operands exchanged": (
        lambda: partials("atan2", "-a / hypot(a, b) / hypot(a, b)", "b / hypot(a, b) / hypot(a, b)"), "jvp",
    ),
    "where by 0.1 % in what is not chosen": (lambda: partials("where", None, None, "where(a, 0, 1.001)"), "jvp"),
    "sigmoid that loses its digits": (lambda: partials("sigmoid", "y * (1 - y)"), "exact"),
    "hypot that overflows": (lambda: partials("hypot", "a / sqrt(a * a + b * b)"), "jvp"),
    "sqrt by a plain product": (lambda: fake("sqrt", rules=(General(),), jvp=plain_root), "strong zero"),
    # Second order only.
    "exp right to first order only": (lambda: partials("exp", "exp(floor(a * 1e10) / 1e10)"), "second order"),
    "log right to first order only": (lambda: partials("log", "1 / (floor(a * 1e10) / 1e10)"), "second order"),
    "softmax right to first order only": (lambda: fake("softmax", jvp=softmax_jvp(second=True)), "second order"),
    "matmul right to first order only": (
        lambda: fake("matmul", rules=(registry.core("matmul").rules[0], General()),
                     jvp=lambda y, xs, dxs, **params: xs[0].b.write("matmul", frozen(xs[0]), dxs[1], **params)),
        "second order",
    ),
    # Linear ops and their transposes.
    "sum back by 0.1 %": (lambda: scaled("sum", 0, 1.001), "adjoint"),
    "sum back with the wrong sign": (lambda: scaled("sum", 0, -1.0), "adjoint"),
    "matmul back by 0.1 % in its second operand": (lambda: scaled("matmul", 1, 1.001), "adjoint"),
    "permute_dims back the wrong way": (lambda: fake("permute_dims", rules=(Linear(transposed_twice),)), "adjoint"),
    "broadcast_to back without a sum": (lambda: fake("broadcast_to", rules=(Linear(unsummed),)), "adjoint"),
    "an affine op that says it is linear": (
        lambda: fake("sum", evaluate=lambda x, axes: np.sum(x, axis=axes) + 0.001), "jvp",
    ),
    "concat by 0.1 % in its last operand": (lambda: scaled("concat", 1, 1.001), "adjoint"),
    # General rules.
    "softmax by 0.1 %": (lambda: scaled("softmax", 0, 1.001), "jvp"),
    "softmax with the wrong sign": (lambda: scaled("softmax", 0, -1.0), "jvp"),
    "softmax without its mean": (lambda: fake("softmax", jvp=softmax_jvp(mean=False)), "jvp"),
    "log_softmax by 0.1 %": (lambda: scaled("log_softmax", 0, 1.001), "jvp"),
    "elu by 0.1 %": (lambda: scaled("elu", 0, 1.001), "exact"),
    "a rule that is not linear in its tangent": (
        lambda: fake("softmax", jvp=lambda y, xs, dxs, **params: dxs[0] * dxs[0]), "adjoint",
    ),
    "a rule that forgets its tangent": (lambda: fake("softmax", jvp=lambda y, xs, dxs, **params: None), "jvp"),
    # Ops with several results, and ops that hold programs.
    "split whose parts go back by 0.1 %": (lambda: inside("split", "slice", rules=scaled("slice", 0, 1.001).rules), "adjoint"),
    "scan that forgets its constants": (lambda: inside("scan", "core.scan", pull=without_last("core.scan")), "adjoint"),
    "scan that goes forward by 0.1 %": (lambda: inside("scan", "core.scan", push=pushed("core.scan", 1.001)), "jvp"),
    "fori_loop that stands still": (lambda: inside("fori_loop", "core.scan", push=pushed("core.scan", 0.0)), "jvp"),
    "cond with the wrong sign": (lambda: inside("cond", "core.cond", push=pushed("core.cond", -1.0)), "jvp"),
    "cond that forgets an operand": (lambda: inside("cond", "core.cond", pull=without_last("core.cond")), "adjoint"),
    "take that goes back by 0.1 %": (lambda: inside("take", "gather", rules=scaled("gather", 0, 1.001).rules), "adjoint"),
    # Maps.
    "reshape that forgets the batch": (lambda: fake("reshape", batched=lambda size, params: params), "vmap"),
    "sum over axes counted from the front": (lambda: fake("sum", evaluate=first_axes), "vmap"),
    "matmul that maps its first operand only": (lambda: unmapped(fake("matmul")), "vmap"),
    "multiply that maps its first operand only": (lambda: unmapped(fake("multiply")), "vmap"),
    # Values and avals.
    "cos by 1e-9": (lambda: fake("cos", fn=lambda x: np.cos(x) * (1 + 1e-9)), "value"),
    "relu that swallows NaN": (lambda: fake("relu", fn=lambda x: np.fmax(x, 0)), "value"),
    "exp that writes into its operand": (lambda: fake("exp", fn=loud), "aval"),
    "exp in double precision always": (lambda: fake("exp", fn=lambda x: np.exp(np.float64(x))), "float32"),
    "less that says it is a float": (lambda: fake("less", boolean=False), "aval"),
    "sum inferred with its axes": (lambda: fake("sum", infer=lambda *avals, **params: avals[0]), "aval"),
    "another value when written eagerly": (lambda: fake("sin", lower=eager_only), "eager"),
    "another sum for integers": (lambda: fake("add", fn=integers_differ), "integers"),
    "add without broadcasting": (lambda: not_broadcast(fake("add")), "example"),
    "another power for a literal exponent": (lambda: square_literal(fake("pow")), "value"),
    # What surrounds an op.
    "a Python error for a scalar": (lambda: index_error(fake("softmax")), "misuse"),
    "an attribute that is no JSON": (
        lambda: fake("softmax", parameters=(Operand("x"), Attr("axis", Kind("a set", opaque), -1)), lower=first_of_set),
        "json",
    ),
    "a mask of another shape": (lambda: fake("relu", kink=lambda arrays, y, **params: np.zeros((7,), bool)), "kink"),
    "a kink in what is said to be smooth": (lambda: fake("abs", kink=lambda arrays, y: np.ones(np.shape(y), bool)), "kink"),
    "broken LaTeX": (lambda: fake("exp", latex="e^{{x}}}"), "page"),
    "no first sentence": (lambda: fake("exp", __doc__="exponential"), "page"),
    "no example": (lambda: fake("exp", examples=()), "example"),
    "no smooth example": (lambda: fake("sum", examples=(Example(([1.0, 2.0],), smooth=False),)), "example"),
    "no example of an optional operand": (lambda: fake("clip", examples=(Example(([1.0, 0.5], 0.0)),)), "example"),
    "examples without elements": (lambda: fake("sum", examples=(Example(([],)),)), "example"),
    "an example at a jump that is said to be smooth": (lambda: fake("floor", examples=(Example(([1.0, 2.5],)),)), "jvp"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found(fault: str) -> None:
    make, check = FAULTS[fault]
    op = make()
    assert registry.core(op.name) is not op
    report = examine(op, REFERENCES[op.name])
    assert check in {t.check for t in report.troubles}, report.troubles[:10]


@pytest.mark.parametrize("name", sorted({make().name for make, _ in FAULTS.values()}))
def test_copy_without_fault_passes(name: str) -> None:
    report = examine(fake(name), REFERENCES[name])
    assert not report.troubles, report.troubles[:5]


def test_enough_faults() -> None:
    assert len(FAULTS) >= 25


# ------------------------------------------------------------------------------------------------- nothing is vacuous


def test_an_op_without_reference_fails() -> None:
    assert "reference" in {t.check for t in examine(fake("exp"), None).troubles}


def test_an_elementwise_op_without_exact_reference_fails() -> None:
    assert "reference" in {t.check for t in examine(fake("exp"), Reference(np.exp)).troubles}


def test_a_reference_that_is_always_nan_compares_nothing() -> None:
    troubles = examine(
        fake("sum"),
        Reference(lambda x, axis, keepdims: np.full(np.sum(x, axis, keepdims=keepdims).shape, np.nan)),
    ).troubles
    assert {"value", "vacuous"} <= {t.check for t in troubles}


def test_a_wrong_reference_is_found() -> None:
    troubles = examine(fake("exp"), Reference(np.expm1, REFERENCES["exp"].exact)).troubles
    assert "value" in {t.check for t in troubles}
    # The derivative is the same, so that is not what is wrong.
    assert "jvp" not in {t.check for t in troubles}


@pytest.mark.parametrize("name", ["exp", "multiply", "matmul", "softmax", "concat"])
def test_every_check_compares_something(name: str) -> None:
    """For an op of each kind, all that can be compared is, and not with zeros alone."""
    counts = examine(registry.core(name), REFERENCES[name]).counts
    for check in ("value", "aval", "eager", "json", "float32", "integers", "vmap", "jvp", "adjoint", "matrix",
                  "strong zero", "second order", "misuse", "jvp not zero"):  # fmt: skip
        assert counts[check] >= 3, check
    assert counts["second not zero"] >= 3 or name == "concat"


# ------------------------------------------------------------------------------------------------------- its numerics


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (np.sin, np.cos),
        (np.exp, np.exp),
        (lambda x: x**3, lambda x: 3 * x**2),
        (np.arctan, lambda x: 1 / (1 + x * x)),
    ],
)
def test_differences(f: Callable[[Any], Any], slope: Callable[[Any], Any]) -> None:
    x = np.array([-1.5, 0.25, 1.0, 2.0])
    found = ridders(lambda t: f(x + t))
    assert found.trusted.all()
    np.testing.assert_allclose(found.value, slope(x), rtol=1e-9)
    assert (np.abs(found.value - slope(x)) <= 100 * found.error + 1e-10).all()


def test_differences_at_a_kink_are_not_trusted() -> None:
    assert not ridders(lambda t: np.sign(np.array([0.0]) + t)).trusted.any()


def test_complex_step_is_exact_and_knows_its_limits() -> None:
    x = np.array([0.5, 2.0])
    exact = complex_step(lambda t: np.exp(x + t), ridders(lambda t: np.exp(x + t)))
    assert exact is not None
    np.testing.assert_allclose(exact, np.exp(x), rtol=1e-15)
    # |x| takes complex numbers, but is not analytic.
    assert complex_step(lambda t: np.abs(x + t), ridders(lambda t: np.abs(x + t))) is None
    assert complex_step(lambda t: np.floor(x + t), ridders(lambda t: np.floor(x + t))) is None


def test_literals_are_kept_as_literals() -> None:
    op = fake("pow")
    report = examine(op, REFERENCES["pow"]._replace(examples=(Example(([0.0, 3.0], Fixed(2.0))),)))
    assert not report.troubles
