"""root and fixed_point: values that equations define."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.attrs import COUNT, INT, at_least
from engine.builder import Builder, GraphBuilder, Var
from engine.errors import InvalidAttribute
from engine.op import Attr, Op, Operand, registry
from engine.ops.implicit.implicit import graphs_of, implicit_core
from engine.ops.implicit.packing import TOLERANCE, pack, packed_body, unpack
from engine.program import BODY

MOST_ITERATIONS = 100_000


class _Implicit(Op):
    """What both share."""

    family = "control"
    composite = True
    promotes = False
    results = ("x", "…")
    method = "newton"

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """One core op, of all unknowns as one vector."""
        return self.write(b, operands, attrs)

    def write(self, b: Builder, operands: Sequence[Var], attrs: Mapping[str, Any]) -> tuple[Var, ...]:
        """The search and its result."""
        most = attrs["max_iterations"]
        if most > MOST_ITERATIONS:
            raise InvalidAttribute(
                f"{self.name}: max_iterations is at most {MOST_ITERATIONS:,}; here it is {most:,}."
            )
        start, constants, shapes, body = packed_body(
            self.name, b, attrs["body"], operands, attrs["carry"], "a starting point"
        )
        if self.method == "iterate":
            inner = GraphBuilder.on(body, b.dtype)
            body = inner.build([inner.core("subtract", body.outputs[0], body.inputs[0])])
        found = b.write(
            implicit_core,
            pack(b, start),
            *constants,
            method=self.method,
            tol=attrs["tol"],
            most=most,
            label=b.label,
            **graphs_of(body, self.method, b.dtype, **b.limits),
        )
        return tuple(unpack(b, found[0], shapes))


class Root(_Implicit):
    """The x for which the body is 0, found by Newton's method from a starting point.

    body: x, constants → residual of x's shape. Newton's method with the exact Jacobian, steps halved until the residual
    falls, and bisection for one unknown, until a step is at most `tol` of x. The derivative is that of the implicit function
    theorem: it does not go through the iterations, and the starting point has none. With `carry` of 2 or more, x is several
    arrays. As `jax.lax.custom_root`.
    """

    name = "root"
    parameters = (
        Operand("operands", variadic=True),
        Attr("body", BODY),
        Attr("carry", COUNT, 1),
        Attr("tol", TOLERANCE, 1e-12, ("rtol",)),
        Attr("max_iterations", at_least(1, INT), 100, ("maxiter",)),
    )
    latex = "\\operatorname{{root}}"
    derivative = {
        "operands": "\\dot{x} = -\\left(\\partial_x f\\right)^{-1} \\partial_\\theta f\\,\\dot{\\theta}"
    }
    convention = (
        "A root that is not found is NaN. A Jacobian that is singular at the starting point is an error; where it is "
        "singular at the root, there is no derivative."
    )


class FixedPoint(_Implicit):
    """The x that the body returns unchanged, found by iterating it from a starting point.

    body: x, constants → next x, of x's shape. Iterated with Anderson's acceleration until a step is at most `tol` of x. The
    derivative is that of the implicit function theorem, (I − ∂f/∂x)⁻¹ ∂f/∂θ: it does not go through the iterations, and the
    starting point has none. With `carry` of 2 or more, x is several arrays.
    """

    name = "fixed_point"
    parameters = (
        Operand("operands", variadic=True),
        Attr("body", BODY),
        Attr("carry", COUNT, 1),
        Attr("tol", TOLERANCE, 1e-14, ("rtol",)),
        Attr("max_iterations", at_least(1, INT), 1000, ("maxiter",)),
    )
    latex = "\\operatorname{{fix}}"
    derivative = {
        "operands": "\\dot{x} = \\left(I - \\partial_x f\\right)^{-1} \\partial_\\theta f\\,\\dot{\\theta}"
    }
    convention = "A fixed point that is not found is NaN; where I − ∂f/∂x is singular there is no derivative."
    method = "iterate"


registry.add(Root())
registry.add(FixedPoint())
