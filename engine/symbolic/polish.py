"""The last look at expressions: factors that terms of a sum have in common go in front of it, where that is shorter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.symbolic.expressions import Algebra, Expr, order_of_factor
from engine.symbolic.write import in_order, operations

MOST_TERMS = 64
"""Longest sum that is searched for common factors."""


def polished(
    alg: Algebra, results: Sequence[Expr], names: Mapping[Expr, str]
) -> tuple[list[Expr], dict[Expr, str]]:
    """The results, with common factors taken out; and the names that parts of them have."""
    new: dict[Expr, Expr] = {}
    for e in in_order(results):
        new[e] = _one(alg, e, new)
        if e in alg.shared:
            alg.shared.add(new[e])
    kept: dict[Expr, str] = {}
    for e, name in names.items():
        if e in new:
            kept.setdefault(new[e], name)
    return [new[e] for e in results], kept


def _one(alg: Algebra, e: Expr, new: Mapping[Expr, Expr]) -> Expr:
    match e.kind:
        case "sum":
            parts = [(c, new[t]) for c, t in e.terms]
            made = e
            if any(t is not u for (_, t), (_, u) in zip(e.terms, parts, strict=True)):
                made = alg.sum(parts, e.number)
            return _factored(alg, _pythagoras(alg, made))
        case "product":
            if all(new[b] is b for _, b in e.terms):
                return e
            return alg.product([(p, new[b]) for p, b in e.terms])
        case "call":
            if all(p is None or new[p] is p for p in e.operands):
                return e
            operands = [None if p is None else new[p] for p in e.operands]
            return alg.call(e.op, operands, e.shape, e.dtype, e.data, e.index)
    return e


def _factors(e: Expr) -> dict[Expr, float]:
    if e.kind == "product":
        return {b: p for p, b in e.terms}
    return {e: 1.0}


def _factored(alg: Algebra, e: Expr) -> Expr:
    """Σ cᵢ·f·gᵢ as f·Σ cᵢ·gᵢ, if f is more than letters."""
    if e.kind != "sum" or e.number != 0 or not 2 <= len(e.terms) <= MOST_TERMS:
        return e
    common = _factors(e.terms[0][1])
    for _, t in e.terms[1:]:
        mine = _factors(t)
        kept: dict[Expr, float] = {}
        for b, p in common.items():
            q = mine.get(b)
            if q is not None and (p > 0) == (q > 0):
                kept[b] = min(p, q) if p > 0 else max(p, q)
        common = kept
        if not common:
            return e
    if all(b.kind == "input" and p > 0 for b, p in common.items()):
        return e
    inner = [(c, alg.product([*_divided(t, common)])) for c, t in e.terms]
    rest = alg.sum(inner)
    outside = [(p, b) for b, p in sorted(common.items(), key=lambda k: order_of_factor(k[0]))]
    made = alg.product([*outside, (1.0, rest)])
    return made if _weight(made) < _weight(e) and made.shape == e.shape else e


def _divided(t: Expr, common: Mapping[Expr, float]) -> list[tuple[float, Expr]]:
    found = []
    for b, p in _factors(t).items():
        q = p - common.get(b, 0.0)
        if q:
            found.append((q, b))
    return found


def _weight(e: Expr) -> float:
    """Operations near the top of an expression."""
    total, level = 0.0, [e]
    for _ in range(3):
        total += sum(operations(x) + (x.kind == "call" and x.op != "where") for x in level)
        level = [p for x in level if x.kind in ("sum", "product") for p in x.parts]
    return total


def _pythagoras(alg: Algebra, e: Expr) -> Expr:
    """c·sin²u·r + c·cos²u·r is c·r, c·cosh²u·r − c·sinh²u·r too."""
    if e.kind != "sum" or not 2 <= len(e.terms) <= MOST_TERMS:
        return e
    while e.kind == "sum":
        found = _pair(alg, e)
        if found is None:
            return e
        e = found
    return e


def _pair(alg: Algebra, e: Expr) -> Expr | None:
    known: dict[tuple[str, Expr | None, Expr], tuple[int, float]] = {}
    for k, (c, t) in enumerate(e.terms):
        factors = _factors(t)
        for b, p in factors.items():
            if b.kind != "call" or p < 2 or b.op not in PAIRS:
                continue
            other, sign = PAIRS[b.op]
            rest = alg.product([(q - 2 if f is b else q, f) for f, q in factors.items()])
            key = (other, b.operands[0], rest)
            if key in known and known[key][1] == sign * c:
                m = known[key][0]
                parts = [part for n, part in enumerate(e.terms) if n not in (k, m)]
                lead = c if b.op in ("sin", "cos", "cosh") else known[key][1]
                return alg.sum([*parts, (lead, rest)], e.number)
            known[b.op, b.operands[0], rest] = (k, c)
    return None


PAIRS = {"sin": ("cos", 1.0), "cos": ("sin", 1.0), "sinh": ("cosh", -1.0), "cosh": ("sinh", -1.0)}
"""Squares that add up to 1, and the sign of the other one."""
