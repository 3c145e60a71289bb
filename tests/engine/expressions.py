"""Random programs of scalars, made from a seed: polynomials, rational functions, powers, functions of functions."""

from __future__ import annotations

import random

UNARY = ("sin", "cos", "tan", "exp", "log", "sqrt", "sinh", "cosh", "tanh", "atan", "asinh")
SAFE = ("sin", "cos", "exp", "tanh", "atan", "asinh")
KINDS = ("polynomial", "rational", "powers", "functions", "mixed")


def expression(seed: int, names: tuple[str, ...] = ("x", "y", "z")) -> str:
    """A program text; which kind it is follows from the seed, so that a hundred in a row have all of them."""
    rng = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    used = names[: 1 + seed % len(names)]
    match kind:
        case "polynomial":
            text = _polynomial(rng, used, rng.randint(2, 4))
        case "rational":
            text = f"({_polynomial(rng, used, 2)})/({_positive(rng, used)})"
        case "powers":
            text = f"({_positive(rng, used)})**{rng.choice(('0.5', '1.5', '(-2)', '3', '(1/3)'))}*{_tree(rng, used, 1)}"
        case "functions":
            text = f"{rng.choice(SAFE)}({_tree(rng, used, 2)})*{_tree(rng, used, 1)}"
        case _:
            text = f"{_tree(rng, used, 3)} + {_tree(rng, used, 2)}"
    missing = [n for n in used if n not in text]
    return " + ".join([text, *(f"{n}**2" for n in missing)])


def _polynomial(rng: random.Random, names: tuple[str, ...], terms: int) -> str:
    parts = []
    for _ in range(terms):
        factors = [str(rng.randint(1, 5))]
        for name in names:
            p = rng.randint(0, 3)
            if p:
                factors.append(name if p == 1 else f"{name}**{p}")
        parts.append("*".join(factors))
    text = parts[0]
    for part in parts[1:]:
        text += rng.choice((" + ", " - ")) + part
    return text


def _positive(rng: random.Random, names: tuple[str, ...]) -> str:
    """Something greater than 0 for all numbers."""
    name = rng.choice(names)
    return rng.choice(
        (
            f"1 + {name}**2",
            f"2 + cos({name})",
            f"1 + exp({name})",
            f"cosh({name})",
            f"exp({name}) + {name}**4",
        )
    )


def _tree(rng: random.Random, names: tuple[str, ...], depth: int) -> str:
    if depth == 0:
        return rng.choice((*names, *names, str(rng.randint(1, 4))))
    choice = rng.randrange(7)
    left = _tree(rng, names, depth - 1)
    match choice:
        case 0:
            return f"({left} + {_tree(rng, names, depth - 1)})"
        case 1:
            return f"({left} - {_tree(rng, names, depth - 1)})"
        case 2 | 3:
            return f"{left}*{_tree(rng, names, depth - 1)}"
        case 4:
            return f"{left}/({_positive(rng, names)})"
        case 5:
            return f"({left})**{rng.randint(2, 3)}"
    function = rng.choice(UNARY)
    if function in ("log", "sqrt"):
        return f"{function}({_positive(rng, names)})"
    return f"{function}({left})"
