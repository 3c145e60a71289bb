"""Ops with bodies as program text: helpers (`def …`), and calls of functions of functions (`scan(f, init, xs)`, `grad(f)(x)`).

A helper takes what goes round; what its body reads besides is read from around it, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.errors import Unsupported
from engine.op import InputRef
from engine.program import Argument, Program, Step
from engine.render.text import ATOM, Piece, Printer


def with_bodies(printer: Printer, step: Step) -> Piece:
    """A step that holds bodies. Raises `Unsupported` for an op that has no form in text here."""
    handler = _HANDLERS.get(step.op.name)
    if handler is None:
        raise Unsupported(f"{step.op.name} has no form in program text here.", node=step.id)
    return handler(printer, step)


def _passed(step: Step) -> list[Argument]:
    """Operands, without those that attributes alone refer to."""
    gone = {v.index for v in step.attrs.values() if isinstance(v, InputRef)}
    return [a for k, a in enumerate(step.operands) if k not in gone]


def _helper(
    printer: Printer,
    wish: str,
    body: Program,
    groups: Sequence[int],
    outer: Sequence[Argument],
    results: Callable[[list[str]], str] | None = None,
) -> str:
    """A helper whose arguments are groups of so many of the body's inputs; the inputs behind them are `outer`."""
    name = printer.fresh(wish)
    given: dict[int, str] = {}
    parameters: list[str] = []
    first: list[str] = []
    positions = list(body.inputs)
    at = 0
    for count in groups:
        ids = [printer.fresh(body.steps[positions[at + k]].id) for k in range(count)]
        given |= {positions[at + k]: ids[k] for k in range(count)}
        at += count
        if count == 1:
            parameters.append(ids[0])
        else:
            parameters.append(printer.fresh("s"))
            if ids:
                first.append(f"{', '.join(ids)} = {parameters[-1]}")
    for position, argument in zip(positions[at:], outer, strict=True):
        given[position] = printer.atom(argument)
    inner = Printer(body, {}, printer.taken, given)
    inner.called = printer.called
    inner.print()
    found = inner.results()
    returned = results(found) if results is not None else ", ".join(found)
    lines = [*first, *inner.lines, f"return {returned}"]
    printer.lines.append(f"def {name}({', '.join(parameters)}):")
    printer.lines += [f"    {line}" for text in lines for line in text.split("\n")]
    return name


def _together(printer: Printer, arguments: Sequence[Argument]) -> str:
    """Several values as one argument: itself, or a tuple."""
    texts = [printer.operand(a).text for a in arguments]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


def _derivative(printer: Printer, step: Step) -> Piece:
    """grad, value_and_grad, jacobian, hessian: f first, then which argument."""
    body: Program = step.attrs["body"]
    name = _helper(printer, "f", body, [1] * len(body.inputs), ())
    wrt = step.attrs.get("wrt", 0)
    several = isinstance(wrt, tuple) and len(wrt) > 1
    first = wrt[0] if isinstance(wrt, tuple) and not several else wrt
    which = "" if first == 0 else f", {first}"
    arguments = ", ".join(printer.operand(a).text for a in step.operands)
    text = f"{step.op.name}({name}{which})({arguments})"
    alone = step.op.name == "grad" and not several
    paths = None
    if step.op.name == "value_and_grad" and not several:
        paths = ["[0]", "[1]"]
    elif step.op.name == "value_and_grad":
        paths = ["[0]", *(f"[1][{k}]" for k in range(len(wrt)))]
    return Piece(text, ATOM, 2, alone, paths)


def _number(printer: Printer, step: Step, value: Any) -> str:
    if isinstance(value, InputRef):
        return printer.operand(step.operands[value.index]).text
    return printer.number(value).text


def _fori_loop(printer: Printer, step: Step) -> Piece:
    body: Program = step.attrs["body"]
    carry = step.attrs.get("carry", 1)
    operands = _passed(step)
    name = _helper(printer, "step", _trimmed(body, carry), [1, carry], operands[carry:])
    start = _number(printer, step, step.attrs.get("start", 0))
    stop = _number(printer, step, step.attrs["stop"])
    text = f"fori_loop({start}, {stop}, {name}, {_together(printer, operands[:carry])})"
    return Piece(text, ATOM, 2, carry == 1)


def _while_loop(printer: Printer, step: Step) -> Piece:
    carry = step.attrs.get("carry", 1)
    operands = _passed(step)
    test = _helper(printer, "going_on", step.attrs["cond"], [carry], operands[carry:])
    name = _helper(printer, "step", _trimmed(step.attrs["body"], carry), [carry], operands[carry:])
    text = f"while_loop({test}, {name}, {_together(printer, operands[:carry])})"
    return Piece(text, ATOM, 2, carry == 1)


def _trimmed(body: Program, count: int) -> Program:
    """A body without the values of names inside that are reported only."""
    return Program(body.steps, body.outputs[:count], body.source)


def _scan(printer: Printer, step: Step) -> Piece:
    body: Program = step.attrs["body"]
    carry, scanned = step.attrs["carry"], step.attrs.get("scanned", 1)
    operands = _passed(step)
    count = len(body.outputs)

    def returned(found: list[str]) -> str:
        parts = [found[:carry], found[carry:]]
        return ", ".join(p[0] if len(p) == 1 else f"({', '.join(p)})" for p in parts)

    name = _helper(printer, "step", body, [carry, scanned], operands[carry + scanned :], returned)
    xs = _together(printer, operands[carry : carry + scanned]) if scanned else "None"
    more = ""
    if step.attrs.get("length") is not None:
        more += f", length={_number(printer, step, step.attrs['length'])}"
    if step.attrs.get("reverse"):
        more += ", reverse=True"
    text = f"scan({name}, {_together(printer, operands[:carry])}, {xs}{more})"
    ys = count - carry
    paths = ["[0]"] if carry == 1 else [f"[0][{k}]" for k in range(carry)]
    paths += ["[1]"] if ys == 1 else [f"[1][{k}]" for k in range(ys)]
    return Piece(text, ATOM, 2, False, paths)


def _cond(printer: Printer, step: Step) -> Piece:
    operands = _passed(step)
    then: Program = step.attrs["then"]
    n = len(then.inputs)
    names = [
        _helper(printer, wish, step.attrs[key], [1] * n, ())
        for wish, key in (("yes", "then"), ("no", "else"))
    ]
    arguments = [printer.operand(a).text for a in operands]
    text = f"cond({arguments[0]}, {', '.join([*names, *arguments[1:]])})"
    return Piece(text, ATOM, 2, len(then.outputs) == 1)


def _checkpoint(printer: Printer, step: Step) -> Piece:
    body: Program = step.attrs["body"]
    name = _helper(printer, "f", body, [1] * len(body.inputs), ())
    arguments = ", ".join(printer.operand(a).text for a in step.operands)
    return Piece(f"checkpoint({name})({arguments})", ATOM, 2, len(body.outputs) == 1)


_HANDLERS: dict[str, Callable[[Printer, Step], Piece]] = {
    **dict.fromkeys(("grad", "value_and_grad", "jacobian", "hessian"), _derivative),
    "fori_loop": _fori_loop,
    "while_loop": _while_loop,
    "scan": _scan,
    "cond": _cond,
    "checkpoint": _checkpoint,
}
