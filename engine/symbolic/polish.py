"""The last look at expressions: factors that terms of a sum have in common go in front of it, where that is shorter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from engine.op import registry
from engine.symbolic.choices import choice, is_choice, sum_of_choices, times_choice
from engine.symbolic.expressions import Algebra, Expr, order_of_factor
from engine.symbolic.functions import elementwise, stretched
from engine.symbolic.write import in_order

AGAIN = frozenset({"log", "exp", "sin", "cos", "tanh", "abs"})
"""Functions whose own rules are asked again for a tidied operand."""
MOST_GROUPS = 4
MOST_GROUPED = 12
"""How often groups are looked for in one sum, and in how long ones."""
MOST_TERMS = 64
"""Longest sum that is searched for common factors."""


def polished(
    alg: Algebra,
    results: Sequence[Expr],
    names: Mapping[Expr, str],
    step: Callable[[], None] | None = None,
) -> tuple[list[Expr], dict[Expr, str]]:
    """The results, with common factors taken out; and the names that parts of them have."""
    new: dict[Expr, Expr] = {}
    for e in in_order(results):
        if step is not None:
            step()
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
            made = sum_of_choices(alg, made)
            return _grouped(alg, _factored(alg, _pythagoras(alg, made)))
        case "product":
            if any(new[b] is not b for _, b in e.terms):
                e = alg.product([(p, new[b]) for p, b in e.terms])
            return _product(alg, _with_choices(alg, e))
        case "call":
            if all(p is None or new[p] is p for p in e.operands):
                return e
            operands = [None if p is None else new[p] for p in e.operands]
            if is_choice(e):
                made = choice(alg, *(p for p in operands if p is not None))
                return made if made.shape == e.shape else e
            if e.op in AGAIN and e.index is None and not e.data and operands[0] is not None:
                return elementwise(alg, e.op, [p for p in operands if p is not None])
            op = registry.get(e.op)
            if op is None or not op.elementwise:
                # What has become a number, or has lost an axis, broadcasts in arithmetic; here its shape is meant.
                operands = [
                    p if p is None or old is None else stretched(alg, p, old.shape)
                    for p, old in zip(operands, e.operands, strict=True)
                ]
            return alg.call(e.op, operands, e.shape, e.dtype, e.data, e.index)
    return e


def _with_choices(alg: Algebra, e: Expr) -> Expr:
    c, inner = alg.split(e)
    made = times_choice(alg, inner)
    return e if made is inner else alg.scaled(c, made)


def _factors(e: Expr) -> dict[Expr, float]:
    if e.kind == "product":
        return {b: p for p, b in e.terms}
    return {e: 1.0}


def _factored(alg: Algebra, e: Expr) -> Expr:
    """Σ cᵢ·f·gᵢ as f·Σ cᵢ·gᵢ, or over a common denominator, if that is shorter; x³ + x stays."""
    if e.kind != "sum" or not 2 <= len(e.terms) + (e.number != 0) <= MOST_TERMS:
        return e
    parts = [(c, _factors(t)) for c, t in e.terms]
    if e.number:
        parts.append((e.number, {}))
    best = e
    for common in (_common(parts, False), _common(parts, True)):
        if not common or all(b.kind == "input" and p > 0 for b, p in common.items()):
            continue
        rest = sum_of_choices(alg, alg.sum([(c, alg.product(_divided(f, common))) for c, f in parts]))
        outside = sorted(common.items(), key=lambda k: order_of_factor(k[0]))
        made = _product(alg, alg.product([*((p, b) for b, p in outside), (1.0, rest)]))
        if alg.size(made) < alg.size(best) and made.shape == e.shape:
            best = made
    return best


def _grouped(alg: Algebra, e: Expr) -> Expr:
    """Terms that have more than letters in common, taken together: (a + b)·sin u + c."""
    for _ in range(MOST_GROUPS):
        if e.kind != "sum" or not 3 <= len(e.terms) <= MOST_GROUPED:
            return e
        having: dict[tuple[Expr, float], list[int]] = {}
        for k, (_, t) in enumerate(e.terms):
            for b, p in _factors(t).items():
                if b.kind != "input" or p < 0:
                    having.setdefault((b, p), []).append(k)
        ranked = sorted(
            (
                (alg.size(b) * (len(at) - 1), at)
                for (b, _), at in having.items()
                if 2 <= len(at) < len(e.terms)
            ),
            key=lambda k: -k[0],
        )
        made = e
        for _, at in ranked[:3]:
            together = _factored(alg, alg.sum([e.terms[k] for k in at]))
            others = [part for k, part in enumerate(e.terms) if k not in at]
            found = alg.sum([*others, (1.0, together)], e.number)
            if alg.size(found) < alg.size(made):
                made = found
                break
        if made is e:
            return e
        e = made
    return e


def _common(parts: Sequence[tuple[float, Mapping[Expr, float]]], fractions: bool) -> dict[Expr, float]:
    """The factors that all terms have; with `fractions` also those that one of them is divided by."""
    found: dict[Expr, float] = {}
    bases = dict.fromkeys(b for _, f in parts for b in f) if fractions else parts[0][1]
    for b in bases:
        exponents = [f.get(b, 0.0) for _, f in parts]
        least = min(exponents)
        if least > 0 or (least < 0 and (fractions or max(exponents) < 0)):
            found[b] = least
    return found


def _divided(factors: Mapping[Expr, float], common: Mapping[Expr, float]) -> list[tuple[float, Expr]]:
    found = [(p - common.get(b, 0.0), b) for b, p in factors.items()]
    found += [(-p, b) for b, p in common.items() if b not in factors]
    return [(p, b) for p, b in found if p]


def _product(alg: Algebra, e: Expr) -> Expr:
    """(a + b·c)/c as a/c + b, if that is shorter."""
    c, inner = alg.split(e)
    if inner.kind != "product":
        return e
    cleared = _cleared(alg, e)
    if cleared is not e:
        return cleared
    powers = {b: p for p, b in inner.terms}
    for p, s in inner.terms:
        if p != 1 or s.kind != "sum" or not 1 < len(s.terms) + (s.number != 0) <= 8:
            continue
        if not any(p * powers.get(b, 0.0) < 0 for _, t in s.terms for b, p in _factors(t).items()):
            continue
        rest = [(q, b) for q, b in inner.terms if b is not s]
        parts = [(c * a, alg.product([(1.0, t), *rest])) for a, t in s.terms]
        if s.number:
            parts.append((c * s.number, alg.product(rest)))
        made = alg.sum(parts)
        if alg.size(made) < alg.size(e) and made.shape == e.shape:
            return made
    return e


def _cleared(alg: Algebra, e: Expr) -> Expr:
    """x²·(1 + y²/x²) as x² + y², if that is shorter: letters below fractions in sums that stand below or are squared."""
    c, inner = alg.split(e)
    for p, s in inner.terms:
        if s.kind != "sum" or p != int(p) or not 1 < len(s.terms) + (s.number != 0) <= 8:
            continue
        below: dict[Expr, float] = {}
        for _, t in s.terms:
            for b, q in _factors(t).items():
                if q < 0 and b.kind == "input" and b.shape == ():
                    below[b] = max(below.get(b, 0.0), -q)
        if not below:
            continue
        lifted = [(q, b) for b, q in below.items()]
        parts = [(a, alg.product([(1.0, t), *lifted])) for a, t in s.terms]
        if s.number:
            parts.append((s.number, alg.product(lifted)))
        others = [(q, b) for q, b in inner.terms if b is not s]
        made = alg.product([*others, (p, alg.sum(parts)), *((-q * p, b) for q, b in lifted)])
        made = alg.scaled(c, made)
        if alg.size(made) < alg.size(e) and made.shape == e.shape:
            return made
    return e


def _pythagoras(alg: Algebra, e: Expr) -> Expr:
    """c·sin²u·r + c·cos²u·r is c·r, c·cosh²u·r − c·sinh²u·r too."""
    while e.kind == "sum" and 2 <= len(e.terms) <= MOST_TERMS:
        found = _pair(alg, e)
        if found is None:
            break
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
