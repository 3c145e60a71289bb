"""einsum: sums of products in Einstein's notation, with the whole of NumPy's syntax.

A composite: diagonals are slices, what stands in one operand alone is summed first, and the operands are then
contracted two by two, each time by one `matmul` (or a multiplication, where nothing is summed). So every intermediate
is a node, whose size and cost are known before anything runs, and the backward walk costs twice as much as the forward
one, however many operands there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from engine.attrs import STRING
from engine.builder import Builder, Var, call, cast
from engine.errors import Arity, InvalidAttribute, ShapeMismatch, quoted
from engine.op import Attr, Example, Op, Operand, registry
from engine.ops.index.gather import reshaped
from engine.ops.layout.arrange import permuted
from engine.ops.products.matmul import contract

MAX_OPERANDS = 64
"""As NumPy's own; the search for a good order is quadratic in it."""

Label: TypeAlias = "str | int"
"""A letter, or −1, −2, … for the axes of an ellipsis, counted from its end."""


class Einsum(Op):
    """Sum of products of arrays in Einstein's notation: "ij,jk->ik" is the matrix product.

    A letter names an axis of each operand it stands in; what is not in the output is summed. Without `->` the output
    has the letters that occur once, in alphabetical order. A letter twice in an operand is its diagonal; `...` are axes
    that are broadcast; an axis of size 1 is stretched.

    Three or more operands are contracted two by two, next the pair that leaves the least. NaN and infinities follow
    IEEE arithmetic, in that order. Source of the method: D. Smith, J. Gray, "opt_einsum", JOSS 3(26), 2018,
    doi:10.21105/joss.00753.
    """

    name = "einsum"
    aliases = ("Einsum",)
    family = "linalg"
    parameters = (Attr("subscripts", STRING, aliases=("equation",)), Operand("operands", variadic=True))
    composite = True
    latex = "\\operatorname{{einsum}}({operands})"
    examples = (
        Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [1.0, -1.0, 0.5]), {"subscripts": "ij,j->i"}),
        Example(([[1.0, 2.0], [4.0, 5.0]],), {"subscripts": "ii"}, note="a trace"),
        Example(([[1.0, 2.0], [4.0, 5.0]],), {"subscripts": "ii->i"}, note="a diagonal"),
        Example(
            ([[1.0, 2.0], [4.0, 5.0]], [3.0, -1.0], [0.5, 2.0]),
            {"subscripts": "ij, i, j"},
            note="three operands",
        ),
        Example(
            ([[[1.0, 2.0]], [[4.0, 5.0]]], [[3.0, -1.0]]),
            {"subscripts": "...i,...i->..."},
            note="broadcasting",
        ),
        Example(([], []), {"subscripts": "i,i->"}, note="of nothing: 0"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Diagonals, sums, then contractions of pairs."""
        terms, out = _read(attrs["subscripts"], operands)
        boolean = operands[0].dtype == "bool"
        arrays = [cast(b, v, "int64") if boolean else v for v in operands]
        factors = [_without_repeats(v, term) for v, term in zip(arrays, terms, strict=True)]
        sizes = _sizes(factors, operands)
        factors = [_without_ones(v, term, sizes) for v, term in factors]
        factors = [
            _summed(v, term, {*out, *(n for m, (_, other) in enumerate(factors) if m != k for n in other)})
            for k, (v, term) in enumerate(factors)
        ]
        while len(factors) > 1:
            i, j = _next_pair(factors, out)
            (x, xs), (y, ys) = factors[i], factors[j]
            rest = [f for k, f in enumerate(factors) if k not in (i, j)]
            left = out if not rest else _left(xs, ys, [term for _, term in rest], out)
            factors = [*rest, (contract(x, xs, y, ys, left), left)]
        ((x, xs),) = factors
        result = permuted(x, [xs.index(n) for n in out])
        return cast(b, result, "bool") if boolean else result


registry.add(Einsum())

Factor: TypeAlias = "tuple[Var, list[Label]]"

# ------------------------------------------------------------------------------------------------- reading subscripts


def _read(subscripts: str, operands: Sequence[Var]) -> tuple[list[list[Label]], list[Label]]:
    """Labels of the operands' axes and of the result's. Raises `InvalidAttribute`, `Arity`, `ShapeMismatch`."""
    text = "".join(subscripts.split())
    given, arrow, wanted = text.partition("->")
    words = given.split(",")
    shown = quoted(subscripts)
    if len(words) != len(operands):
        raise Arity(
            f"einsum: the subscripts {shown} are for {len(words)} operand{'s' * (len(words) != 1)}, but there are "
            f"{len(operands)}."
        )
    if len(operands) > MAX_OPERANDS:
        raise Arity(f"einsum takes at most {MAX_OPERANDS} operands; there are {len(operands)}.")
    for word in [*words, wanted]:
        letters = word.replace("...", "", 1)
        bad = next((c for c in letters if not (c.isascii() and c.isalpha())), None)
        if bad is not None:
            raise InvalidAttribute(
                f"einsum: the subscripts {shown} hold {quoted(bad)}; they are letters a-z and A-Z, at most one '...' "
                f"for each operand, ',' between operands, and one '->'."
            )
    terms = [_term(word, k, v, shown) for k, (word, v) in enumerate(zip(words, operands, strict=True))]
    dots = max(sum(isinstance(n, int) for n in term) for term in terms)
    ellipsis: list[Label] = list(range(-dots, 0))
    used = [n for term in terms for n in term if isinstance(n, str)]
    if not arrow:
        return terms, [*ellipsis, *sorted(n for n in set(used) if used.count(n) == 1)]
    before, has_dots, after = wanted.partition("...")
    out: list[Label] = [*before, *(ellipsis if has_dots else []), *after]
    for letter in before + after:
        if letter not in used:
            raise InvalidAttribute(
                f"einsum: the output of {shown} has {quoted(letter)}, which no operand has."
            )
        if (before + after).count(letter) > 1:
            raise InvalidAttribute(f"einsum: the output of {shown} has {quoted(letter)} twice.")
    if dots and not has_dots:
        raise InvalidAttribute(
            f"einsum: an operand of {shown} has axes under '...', so the output must have '...' too."
        )
    return terms, out


def _term(word: str, k: int, v: Var, shown: str) -> list[Label]:
    before, dots, after = word.partition("...")
    count = v.rank - len(before) - len(after)
    if count < 0 or (count and not dots):
        raise ShapeMismatch(
            f"einsum: {quoted(word)} in {shown} names {len(before) + len(after)} axes, and operand {k} has {v.rank} "
            f"(shape {list(v.shape)}).{' Write ... for axes without a letter.' if count > 0 else ''}"
        )
    return [*before, *range(-count, 0), *after]


def _without_repeats(v: Var, term: list[Label]) -> Factor:
    """Axes of one label become their diagonal."""
    while True:
        label = next((n for n in term if term.count(n) > 1), None)
        if label is None:
            return v, term
        i = term.index(label)
        j = term.index(label, i + 1)
        if v.shape[i] != v.shape[j]:
            raise ShapeMismatch(
                f"einsum: the axes {quoted(label)} of one operand have sizes {v.shape[i]} and {v.shape[j]}; a diagonal "
                f"needs equal ones."
            )
        v = call(v.b, "diagonal", v, axis1=i, axis2=j)
        term = [*[n for k, n in enumerate(term) if k not in (i, j)], label]


def _sizes(factors: Sequence[Factor], operands: Sequence[Var]) -> dict[Label, int]:
    """The size of each label; 1 gives way to another."""
    sizes: dict[Label, int] = {}
    first: dict[Label, int] = {}
    for k, (v, term) in enumerate(factors):
        for label, n in zip(term, v.shape, strict=True):
            if sizes.get(label, 1) == 1:
                sizes[label], first[label] = n, k
            elif n not in (1, sizes[label]):
                name = f"'{label}'" if isinstance(label, str) else f"axis {label} of '...'"
                raise ShapeMismatch(
                    f"einsum: {name} has size {sizes[label]} in operand {first[label]} (shape "
                    f"{list(operands[first[label]].shape)}) and {n} in operand {k} (shape {list(operands[k].shape)}). "
                    f"Sizes must be equal, or 1."
                )
    return sizes


def _without_ones(v: Var, term: list[Label], sizes: dict[Label, int]) -> Factor:
    """Without the axes of size 1 that another operand stretches."""
    kept = [(n, size) for n, size in zip(term, v.shape, strict=True) if size == sizes[n]]
    return reshaped(v, [size for _, size in kept]), [n for n, _ in kept]


def _summed(v: Var, term: list[Label], elsewhere: set[Label]) -> Factor:
    """Summed over the labels that stand in this operand alone."""
    axes = tuple(i for i, n in enumerate(term) if n not in elsewhere)
    if not axes:
        return v, term
    total: Var = call(v.b, "sum", v, axis=axes)
    return total, [n for n in term if n in elsewhere]


# -------------------------------------------------------------------------------------------------------------- order


def _left(
    xs: Sequence[Label], ys: Sequence[Label], others: Sequence[Sequence[Label]], out: Sequence[Label]
) -> list[Label]:
    """Labels of a pair that are still needed: batch, then those of x, then those of y."""
    needed = {*out, *(n for term in others for n in term)}
    both = [n for n in xs if n in ys and n in needed]
    return [*both, *[n for n in xs if n not in ys], *[n for n in ys if n not in xs]]


def _next_pair(factors: Sequence[Factor], out: Sequence[Label]) -> tuple[int, int]:
    """The pair whose result is smallest beside its operands; among equals the cheapest, then the first."""
    if len(factors) == 2:
        return 0, 1
    size = {n: float(max(length, 1)) for v, term in factors for n, length in zip(term, v.shape, strict=True)}
    has = np.array([[n in term for n in size] for _, term in factors], bool)
    count = has.sum(axis=0) + np.array([n in out for n in size], int)
    i, j = np.triu_indices(len(factors), 1)
    both = has[i] | has[j]
    kept = both & (count > has[i].astype(int) + has[j])
    with np.errstate(all="ignore"):
        sizes = np.array(list(size.values()))
        result, work, x, y = (
            np.where(mask, sizes, 1.0).prod(axis=1) for mask in (kept, both, has[i], has[j])
        )
        best = np.lexsort((work, result - x - y))[0]
    return int(i[best]), int(j[best])
