"""Choices as people write them: one `where` for each condition, and none where a condition decides already.

Within where(c, p, q), c holds in p and not in q, so choices inside by the same condition are made. A choice between something
and 0 takes the factors beside it in, and choices by one condition are added up inside:

    2·x·where(c, 1, 0) − where(c, 0, 1)  is  where(c, 2·x, −1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from engine.symbolic.expressions import Algebra, Expr
from engine.symbolic.functions import elementwise, shape_of

LARGE = 40
"""Operations of factors that are not moved into choices, and of choices that are not looked into: those of long programs."""
FACTS = 64
"""Conditions that are drawn from one."""
DEEP = 200
"""Expressions that are looked at for one condition."""
CONTRARY: Mapping[str, tuple[str, ...]] = {
    "greater": ("less", "less_equal", "equal"),
    "less": ("greater", "greater_equal", "equal"),
    "greater_equal": ("less",),
    "less_equal": ("greater",),
    "equal": ("greater", "less", "not_equal"),
    "not_equal": ("equal",),
}
"""What does not hold where a comparison does."""
MIRRORED: Mapping[str, str] = {
    "greater": "less",
    "less": "greater",
    "greater_equal": "less_equal",
    "less_equal": "greater_equal",
    "equal": "equal",
    "not_equal": "not_equal",
}
"""a > b is b < a."""

Facts = Mapping[Expr, bool]


def is_choice(e: Expr | None) -> bool:
    """Whether an expression is a `where` of floating numbers."""
    return e is not None and e.kind == "call" and e.op == "where" and e.dtype.startswith("float")


def parts_of(e: Expr) -> tuple[Expr, Expr, Expr]:
    """Condition and both sides of a choice."""
    mask, p, q = e.operands
    assert mask is not None
    assert p is not None
    assert q is not None
    return mask, p, q


def choice(alg: Algebra, mask: Expr, p: Expr, q: Expr) -> Expr:
    """where(mask, p, q); what has not the whole shape broadcasts."""
    p, q = settled(alg, p, facts(alg, mask, True)), settled(alg, q, facts(alg, mask, False))
    if p is q:
        return p
    if _vanishes(alg, mask, q) and p is alg.zero:
        return q
    for one, two in _parts(mask, "logical_or"):
        if p.is_number and not q.is_number:  # each condition has its own
            return choice(alg, one, p, choice(alg, two, p, q))
    for one, two in _parts(mask, "logical_and"):
        if q.is_number and not p.is_number:
            return choice(alg, one, choice(alg, two, p, q), q)
    return _in_front(alg, mask, p, q)


def _vanishes(alg: Algebra, mask: Expr, e: Expr) -> bool:
    """Whether a condition says that an expression, or the norm of it, is 0."""
    if mask.kind != "call" or mask.op != "equal" or mask.operands[1] is not alg.zero:
        return False
    x = mask.operands[0]
    whole = x is not None and x.kind == "call" and x.op in NORMS and not x.data
    return alg.split(e)[1] in ((x.operands[0], x) if x is not None and whole else (x,))


NORMS = frozenset({"norm", "vector_norm"})


def _in_front(alg: Algebra, mask: Expr, p: Expr, q: Expr) -> Expr:
    """The number in front of the only side that is not 0 stands in front of the whole."""
    (a, u), (b, v) = alg.split(p), alg.split(q)
    if q is alg.zero and a != 1 and not p.is_number:
        return alg.scaled(a, alg.call("where", (mask, u, q), shape_of((mask, u))))
    if p is alg.zero and b != 1 and not q.is_number:
        return alg.scaled(b, alg.call("where", (mask, p, v), shape_of((mask, v))))
    p, q = _number_inside(alg, p), _number_inside(alg, q)
    return alg.call("where", (mask, p, q), shape_of((mask, p, q)))


def _number_inside(alg: Algebra, e: Expr) -> Expr:
    """c·where(m, u, 0) as where(m, c·u, 0), for one that stands in another."""
    c, inner = alg.split(e)
    if c == 1 or not _half(alg, inner):
        return e
    mask, p, q = parts_of(inner)
    return alg.call("where", (mask, alg.scaled(c, p), alg.scaled(c, q)), inner.shape)


def _parts(mask: Expr, op: str) -> Sequence[tuple[Expr, Expr]]:
    if mask.kind != "call" or mask.op != op:
        return ()
    one, two = mask.operands
    assert one is not None
    assert two is not None
    if op in (one.op, two.op):
        return ()  # of two conditions only
    return ((one, two),)


def facts(alg: Algebra, mask: Expr, holds: bool) -> dict[Expr, bool]:
    """Conditions that are decided where this one holds, or does not; of long ones the first."""
    found: dict[Expr, bool] = {}
    todo = [(mask, holds)]
    while todo and len(found) < FACTS:
        mask, holds = todo.pop()
        found[mask] = holds
        if mask.kind != "call":
            continue
        if mask.op == "logical_not" and mask.operands[0] is not None:
            todo.append((mask.operands[0], not holds))
        elif mask.op == ("logical_and" if holds else "logical_or"):
            todo += [(part, holds) for part in mask.operands if part is not None]
        elif holds and mask.op in CONTRARY:
            x, y = mask.operands
            for other in CONTRARY[mask.op]:
                found[alg.call(other, (x, y), mask.shape, "bool")] = False
                found[alg.call(MIRRORED[other], (y, x), mask.shape, "bool")] = False
    return found


def settled(alg: Algebra, e: Expr, known: Facts) -> Expr:
    """An expression with the choices made that known conditions decide; in elementwise parts of it, up to a size."""
    if alg.size(e) > 10 * LARGE:
        return e
    new: dict[Expr, Expr] = {}
    left = DEEP

    def walk(x: Expr, depth: int) -> Expr:
        nonlocal left
        if x in new:
            return new[x]
        left -= 1
        if left < 0 or depth > 40 or x.kind in ("input", "array"):
            return x
        made = x
        if is_choice(x):
            mask, p, q = parts_of(x)
            if mask in known:
                made = walk(p if known[mask] else q, depth + 1)
            else:
                made = _rebuilt(alg, x, lambda y: walk(y, depth + 1))
        elif x.kind in ("sum", "product") or (x.kind == "call" and x.op in ELEMENTWISE and not x.data):
            made = _rebuilt(alg, x, lambda y: walk(y, depth + 1))
        new[x] = made
        return made

    return walk(e, 0)


ELEMENTWISE = frozenset(
    {"exp", "log", "sin", "cos", "tanh", "sigmoid", "abs", "sign", "ndtr", "erf", "pow", "maximum"}
)
"""Functions whose operands are looked at."""


def _rebuilt(alg: Algebra, e: Expr, walk: Callable[[Expr], Expr]) -> Expr:
    if e.kind in ("sum", "product"):
        parts = [(c, walk(t)) for c, t in e.terms]
        if all(t is u for (_, t), (_, u) in zip(e.terms, parts, strict=True)):
            return e
        return alg.sum(parts, e.number) if e.kind == "sum" else alg.product(parts)
    operands = [None if p is None else walk(p) for p in e.operands]
    if all(p is q for p, q in zip(operands, e.operands, strict=True)):
        return e
    given = [p for p in operands if p is not None]
    if is_choice(e):
        return choice(alg, *given)
    return elementwise(alg, e.op, given)


# ------------------------------------------------------------------------------------------------ sums and products


def times_choice(alg: Algebra, e: Expr) -> Expr:
    """where(c, u, 0)·g is where(c, u·g, 0): for a product, the number in front of it aside."""
    if e.kind != "product" or not any(_half(alg, b) and p > 0 for p, b in e.terms):
        return e
    rest = [(p, b) for p, b in e.terms if not (_half(alg, b) and p > 0)]
    made = alg.product(rest)
    if alg.size(made) > LARGE:
        return e
    for p, b in e.terms:
        if not (_half(alg, b) and p > 0):
            continue
        mask, u, v = parts_of(b)
        inside = alg.product([(p, v if u is alg.zero else u), (1.0, made)])
        made = choice(alg, mask, alg.zero, inside) if u is alg.zero else choice(alg, mask, inside, alg.zero)
    return made if made.shape == e.shape else e


def _half(alg: Algebra, e: Expr) -> bool:
    return is_choice(e) and (e.operands[1] is alg.zero) != (e.operands[2] is alg.zero)


def sum_of_choices(alg: Algebra, e: Expr) -> Expr:
    """c·where(m, p, q) + d·where(m, r, s) is where(m, c·p + d·r, c·q + d·s)."""
    if e.kind != "sum" or not 2 <= len(e.terms) <= MOST:
        return e
    made = _gathered(alg, e.terms, e.number, MOST)
    return made if made.shape == e.shape else e


MOST = 64
"""Terms of a sum that are looked at, and conditions that are gathered in it."""

Path = list[tuple[Expr, bool]]


def _gathered(alg: Algebra, terms: Sequence[tuple[float, Expr]], number: float, left: int) -> Expr:
    """The sum, with the condition outermost that most terms have; then the sums inside."""
    paths = [_path(alg, t) for _, t in terms]
    counts: dict[Expr, int] = {}
    for (_, t), (path, _, _) in zip(terms, paths, strict=True):
        masks = [m for m, _ in path] or ([parts_of(t)[0]] if is_choice(t) else [])
        for m in dict.fromkeys(masks):
            counts[m] = counts.get(m, 0) + 1
    mask = max(counts, key=lambda m: (counts[m], -m.serial), default=None)
    if mask is None or counts[mask] < 2 or left <= 0:
        return alg.sum(terms, number)
    others: list[tuple[float, Expr]] = []
    sides: dict[bool, list[tuple[float, Expr]]] = {True: [], False: []}
    for (c, t), (path, a, leaf) in zip(terms, paths, strict=True):
        on = next((side for m, side in path if m is mask), None)
        if on is not None:
            if leaf is alg.one:
                leaf, c, a = alg.number(c * a), 1.0, 1.0
            inside = leaf
            for m, side in reversed(path):
                if m is not mask:
                    inside = choice(alg, m, inside, alg.zero) if side else choice(alg, m, alg.zero, inside)
            sides[on].append((c * a, inside))
        elif is_choice(t) and t.operands[0] is mask:
            sides[True].append((c, parts_of(t)[1]))
            sides[False].append((c, parts_of(t)[2]))
        else:
            others.append((c, t))
    p, q = (_gathered(alg, sides[side], 0.0, left - 1) for side in (True, False))
    made = _outside(alg, mask, p, q)
    return (
        _gathered(alg, [*others, (1.0, made)], number, left - 1)
        if len(others) > 1
        else alg.sum([*others, (1.0, made)], number)
    )


def _path(alg: Algebra, e: Expr) -> tuple[Path, float, Expr]:
    """Choices between something and 0, one in the other: conditions, each with what it must be; a number; and the something."""
    path: Path = []
    c = 1.0
    while True:
        a, inner = alg.split(e)
        c *= a
        if not _half(alg, inner) or len(path) > 16:
            return path, c, inner
        mask, p, q = parts_of(inner)
        path.append((mask, q is alg.zero))
        e = p if q is alg.zero else q


def _outside(alg: Algebra, mask: Expr, p: Expr, q: Expr) -> Expr:
    """A choice with the factors that both sides have in front of it."""
    made = choice(alg, mask, p, q)
    (a, u), (b, v) = alg.split(p), alg.split(q)
    one, two = ({f: n for n, f in w.terms} if w.kind == "product" else {w: 1.0} for w in (u, v))
    common = {f: n for f, n in one.items() if two.get(f) == n and f is not alg.one}
    if not common:
        return made
    rest = (alg.product([(n, f) for f, n in w.items() if f not in common]) for w in (one, two))
    inside = [alg.scaled(c, w) for c, w in zip((a, b), rest, strict=True)]
    found = alg.product([*((n, f) for f, n in common.items()), (1.0, choice(alg, mask, *inside))])
    return found if alg.size(found) <= alg.size(made) and found.shape == made.shape else made
