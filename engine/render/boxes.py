"""Formulas as trees of boxes, between what they mean and how they are written, and the two ways of writing them.

`latex_of` and `mathml_of` print the same tree, each with a stack of its own: no tree is too deep for them. Whatever
text a box holds is data: it is escaped here, so that nothing a user calls a node becomes a command or an element.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias
from xml.sax.saxutils import escape

# --------------------------------------------------------------------------------------------------------------- boxes


@dataclass(frozen=True, slots=True)
class Row:
    """Boxes side by side."""

    items: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Ident:
    """A name: one `italic` letter, `upright` or `bold` letters and digits, or any `text` whatever."""

    text: str
    style: Literal["italic", "upright", "bold", "text"] = "italic"


@dataclass(frozen=True, slots=True)
class Num:
    """Digits, perhaps with a point."""

    text: str


@dataclass(frozen=True, slots=True)
class Prose:
    """Words between formulas: `else`."""

    text: str


@dataclass(frozen=True, slots=True)
class Sign:
    """An operator, relation or punctuation mark by its LaTeX spelling, one of `SIGNS`; `prefix` for a sign −x."""

    latex: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Func:
    """The name of a function, or of an operator written like one."""

    name: str


@dataclass(frozen=True, slots=True)
class Space:
    """White space by its LaTeX spelling, one of `SPACES`."""

    latex: str


@dataclass(frozen=True, slots=True)
class Times:
    """A product without a sign; `quiet` before a function's name, where LaTeX leaves space by itself."""

    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Apply:
    """Application of the function on the left; `open` where its argument has no parentheses."""

    open: bool


@dataclass(frozen=True, slots=True)
class Script:
    """A base with an index, an exponent or both."""

    base: Box
    sub: Box | None = None
    sup: Box | None = None


@dataclass(frozen=True, slots=True)
class Frac:
    """A fraction."""

    top: Box
    bottom: Box


@dataclass(frozen=True, slots=True)
class Root:
    """A square root, or another with an index."""

    body: Box
    index: Box | None = None


@dataclass(frozen=True, slots=True)
class Accent:
    """A line, hat or tilde over a box, by its LaTeX command, one of `ACCENTS`."""

    latex: str
    body: Box


@dataclass(frozen=True, slots=True)
class Fence:
    """A box between two delimiters, each one of `FENCES`."""

    left: str
    body: Box
    right: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells: `cases`, a `matrix`, or `equations` between two cells each (a row of one cell is none)."""

    kind: Literal["cases", "matrix", "equations"]
    rows: tuple[tuple[Box, ...], ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """In the pattern of an op: the place of the operand or attribute `name`; what may stand there without parentheses.

    `need` is the lowest level of precedence; `lead`: also what begins with a minus; `last`: also what ends in an open
    function application (`sin x`).
    """

    name: str
    need: int = 0
    lead: bool = True
    last: bool = True


Box: TypeAlias = (
    Row
    | Ident
    | Num
    | Prose
    | Sign
    | Func
    | Space
    | Times
    | Apply
    | Script
    | Frac
    | Root
    | Accent
    | Fence
    | Table
    | Slot
)

# ------------------------------------------------------------------------------------------------------------- symbols

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ϵ", "varepsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "vartheta": "ϑ", "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π",
    "rho": "ρ", "sigma": "σ", "tau": "τ", "upsilon": "υ", "phi": "ϕ", "varphi": "φ", "chi": "χ", "psi": "ψ",
    "omega": "ω", "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ",
    "Upsilon": "Υ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
}  # fmt: skip
"""LaTeX commands of Greek letters, and the characters they stand for in mathematics."""

LETTERS = {char: f"\\{name}" for name, char in GREEK.items()} | {"ℓ": "\\ell"}
"""Single characters that have a LaTeX command."""

SIGNS: dict[str, str] = {
    "+": "+", "-": "−", "/": "/", "=": "=", "<": "<", ">": ">", ",": ",", ";": ";", ":": ":", "!": "!", "'": "′",
    "\\pm": "±", "\\cdot": "⋅", "\\times": "×", "\\div": "÷", "\\odot": "⊙", "\\oslash": "⊘", "\\otimes": "⊗",
    "\\oplus": "⊕", "\\ast": "∗", "\\star": "⋆", "\\circ": "∘", "\\bullet": "∙", "\\land": "∧", "\\wedge": "∧",
    "\\lor": "∨", "\\vee": "∨", "\\lnot": "¬", "\\neg": "¬", "\\bmod": "mod", "\\ne": "≠", "\\neq": "≠", "\\le": "≤",
    "\\leq": "≤", "\\ge": "≥", "\\geq": "≥", "\\in": "∈", "\\notin": "∉", "\\approx": "≈", "\\equiv": "≡", "\\sim": "∼",
    "\\propto": "∝", "\\mid": "∣", "\\parallel": "∥", "\\mapsto": "↦", "\\to": "→", "\\rightarrow": "→",
    "\\leftarrow": "←", "\\gets": "←", "\\top": "⊤", "\\perp": "⊥", "\\dagger": "†", "\\prime": "′", "\\infty": "∞",
    "\\partial": "∂", "\\nabla": "∇", "\\ldots": "…", "\\dots": "…", "\\cdots": "⋯", "\\vdots": "⋮", "\\ddots": "⋱",
    "\\emptyset": "∅", "\\varnothing": "∅", "\\forall": "∀", "\\exists": "∃", "\\sum": "∑", "\\prod": "∏", "\\int": "∫",
    "\\#": "#", "\\bigvee": "⋁", "\\bigwedge": "⋀", "\\bigcup": "⋃", "\\cup": "∪", "\\cap": "∩", "\\setminus": "∖",
}  # fmt: skip
"""LaTeX spelling of signs, and their characters."""

LARGE = frozenset({"\\sum", "\\prod", "\\int", "\\bigvee", "\\bigwedge", "\\bigcup"})
"""Signs that stand before what they gather."""

SYMBOLS = frozenset({
    "\\top", "\\perp", "\\dagger", "\\prime", "\\infty", "\\partial", "\\nabla", "\\ldots", "\\dots", "\\cdots",
    "\\vdots", "\\ddots", "\\emptyset", "\\varnothing", "\\#", "\\ast", "\\star", "\\bullet", "!", "'", ":",
})  # fmt: skip
"""Signs that are written without space around them, like letters (some of them only in an exponent)."""

SPACES = {
    "\\,": "0.1667em", "\\:": "0.2222em", "\\;": "0.2778em", "\\!": "-0.1667em", "\\ ": "0.25em", "~": "0.25em",
    "\\quad": "1em", "\\qquad": "2em",
}  # fmt: skip

FENCES: dict[str, str] = {
    "(": "(", ")": ")", "[": "[", "]": "]", "\\{": "{", "\\}": "}", "|": "|", "\\vert": "|", "\\lvert": "|",
    "\\rvert": "|", "\\|": "‖", "\\Vert": "‖", "\\lVert": "‖", "\\rVert": "‖", "\\lfloor": "⌊", "\\rfloor": "⌋",
    "\\lceil": "⌈", "\\rceil": "⌉", "\\langle": "⟨", "\\rangle": "⟩", ".": "",
}  # fmt: skip

ACCENTS = {
    "\\overline": "\u203e", "\\bar": "¯", "\\hat": "^", "\\widehat": "^", "\\tilde": "~", "\\widetilde": "~",
    "\\vec": "→", "\\dot": "˙", "\\ddot": "¨",
}  # fmt: skip

FUNCTIONS = frozenset({
    "arccos", "arcsin", "arctan", "arg", "cos", "cosh", "cot", "coth", "csc", "deg", "det", "dim", "exp", "gcd", "hom",
    "inf", "ker", "lg", "lim", "liminf", "limsup", "ln", "log", "max", "min", "Pr", "sec", "sin", "sinh", "sup", "tan",
    "tanh",
})  # fmt: skip
"""Functions that LaTeX has a command for."""
_LIMITS = frozenset({"det", "gcd", "inf", "lim", "liminf", "limsup", "max", "min", "Pr", "sup"})
"""Those whose index LaTeX sets below them."""


# ------------------------------------------------------------------------------------------------------------ escaping

_TEXT_ESCAPES = {
    "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", "$": "\\$", "&": "\\&", "#": "\\#", "_": "\\_", "%": "\\%",
    "^": "\\textasciicircum{}", "~": "\\textasciitilde{}", "<": "\\textless{}", ">": "\\textgreater{}",
    "|": "\\textbar{}", "…": "\\dots{}", "-": "-{}", "'": "'{}", "`": "`{}", " ": "\\ ",
}  # fmt: skip
"""What means something else in text (or is joined with its neighbours: -- is a dash, two spaces are one)."""

_UNIVERSAL = re.compile("[!-~À-ÖØ-öø-ɏЀ-ӿऀ-ჿ\u3000-ヿ一-龯가-힣]")
"""Characters that LaTeX engines and KaTeX's strict mode have in text."""

_NOT_XML = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def latex_text(content: str) -> str:
    """Any text for the inside of `\\text{…}`: as it is where LaTeX can, else a character's number, as U+1F600."""
    pieces = []
    for c in content:
        if c in _TEXT_ESCAPES:
            pieces.append(_TEXT_ESCAPES[c])
        elif c in LETTERS:
            pieces.append(f"${LETTERS[c]}$")
        elif _UNIVERSAL.match(c):
            pieces.append(c)
        else:
            pieces.append(f"U+{ord(c):04X}")
    return "".join(pieces)


def xml_text(content: str) -> str:
    """Any text for the inside of an XML element, with spaces that stay."""
    return escape(_NOT_XML.sub("\ufffd", content)).replace(" ", "\u00a0")


# --------------------------------------------------------------------------------------------------------------- LaTeX

_Piece: TypeAlias = "str | Box"
_COMMAND_AT_END = re.compile(r"\\[A-Za-z]+\Z")


def _print(
    box: Box, expand: Callable[[Box], Sequence[_Piece]], join: Callable[[list[str], str], None]
) -> str:
    """Print a tree from left to right, with a stack in place of recursion."""
    out: list[str] = []
    stack: list[_Piece] = [box]
    while stack:
        top = stack.pop()
        if isinstance(top, str):
            join(out, top)
        else:
            stack.extend(reversed(expand(top)))
    return "".join(out)


def latex_of(box: Box) -> str:
    """The box as LaTeX (amsmath), for math mode."""
    return _print(box, _latex, _join_latex)


def _join_latex(out: list[str], piece: str) -> None:
    # A letter straight after a command would become part of its name.
    if out and piece[:1].isalnum() and _COMMAND_AT_END.search(out[-1]):
        out.append(" ")
    if piece:
        out.append(piece)


def _group(box: Box) -> list[_Piece]:
    return ["{", box, "}"]


def _latex(box: Box) -> Sequence[_Piece]:
    match box:
        case Row(items):
            return items
        case Ident(text, style):
            if style == "italic":
                return [LETTERS.get(text, text)]
            command = {"upright": "mathrm", "bold": "mathbf", "text": "text"}[style]
            return [f"\\{command}{{{latex_text(text)}}}"]
        case Num(text):
            return [text]
        case Prose(text):
            return [f"\\text{{{latex_text(text)}}}"]
        case Sign(latex, prefix):
            if prefix or latex in SYMBOLS or latex in LARGE:
                return [latex]
            return [f"{latex} "] if latex in (",", ";") else [f" {latex} "]
        case Func(name):
            return [f"\\{name}" if name in FUNCTIONS else f"\\operatorname{{{latex_text(name)}}}"]
        case Space(latex):
            return [latex]
        case Times(quiet):
            return [" "] if quiet else ["\\,"]
        case Apply(opened):
            return [" "] if opened else []
        case Script(base, sub, sup):
            simple = isinstance(base, Ident | Num | Func | Sign | Fence | Root | Accent)
            return [
                *([base] if simple else _group(base)),
                *(["_", *_group(sub)] if sub is not None else []),
                *(["^", *_group(sup)] if sup is not None else []),
            ]
        case Frac(top, bottom):
            return ["\\frac", *_group(top), *_group(bottom)]
        case Root(body, index):
            order = (
                []
                if index is None
                else ["[", index, "]"]
                if isinstance(index, Num)
                else ["[", *_group(index), "]"]
            )
            return ["\\sqrt", *order, *_group(body)]
        case Accent(latex, body):
            return [latex, *_group(body)]
        case Fence(left, body, right):
            return [f"\\left{left}", body, f"\\right{right}"]
        case Table(kind, rows):
            name = {"cases": "cases", "matrix": "bmatrix", "equations": "aligned"}[kind]
            between = " &= " if kind == "equations" else " & "
            pieces: list[_Piece] = [f"\\begin{{{name}}}"]
            for k, row in enumerate(rows):
                pieces.append(" \\\\ " if k else " ")
                for n, cell in enumerate(row):
                    pieces += [between, cell] if n else [cell]
            return [*pieces, f" \\end{{{name}}}"]
        case Slot(name):
            raise ValueError(f"an empty place is no formula: {name}")


# -------------------------------------------------------------------------------------------------------------- MathML


def mathml_of(box: Box) -> str:
    """The box as a presentation MathML document, a `math` element for display.

    Cells of tables carry the class `left`, `right` or `center`, since MathML Core leaves alignment to style sheets
    (Chromium wants `text-align: -webkit-right`).
    """
    return (
        '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">'
        + _print(box, _mathml, lambda out, piece: out.append(piece))
        + "</math>"
    )


_BOLD = {ord(c): 0x1D400 + k for k, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")}
_BOLD |= {ord(c): 0x1D7CE + k for k, c in enumerate("0123456789")}
"""Bold letters and digits have characters of their own; MathML Core has no other way."""


def _element(name: str, *content: _Piece) -> list[_Piece]:
    return [f"<{name}>", *content, f"</{name.split()[0]}>"]


def _operator(char: str, attributes: str = "") -> str:
    return f"<mo{attributes}>{escape(char)}</mo>"


_COLUMNS = {"cases": ("left", "left"), "matrix": ("center",), "equations": ("right", "left")}


def _mathml(box: Box) -> Sequence[_Piece]:
    match box:
        case Row(items):
            return items if len(items) == 1 else _element("mrow", *items)
        case Ident(text, style):
            if style == "text":
                return [f"<mtext>{xml_text(text)}</mtext>"]
            if style == "bold":
                text = text.translate(_BOLD)
            upright = ' mathvariant="normal"' if style == "upright" and len(text) == 1 else ""
            return [f"<mi{upright}>{xml_text(text)}</mi>"]
        case Num(text):
            return [f"<mn>{escape(text)}</mn>"]
        case Prose(text):
            return [f"<mtext>{xml_text(text)}</mtext>"]
        case Sign(latex, prefix):
            char = SIGNS[latex]
            if latex in SYMBOLS and latex not in ("!", "'", ":", "\\ast", "\\star", "\\bullet"):
                return [f"<mi>{char}</mi>"]
            return [_operator(char, ' form="prefix"' if prefix else "")]
        case Func(name):
            return [f"<mi>{xml_text(name)}</mi>"]
        case Space(latex):
            return [f'<mspace width="{SPACES[latex]}"/>']
        case Times():
            return ['<mo>\u2062</mo><mspace width="0.1667em"/>']
        case Apply(opened):
            return ["<mo>\u2061</mo>" + '<mspace width="0.1667em"/>' * opened]
        case Script(base, sub, sup):
            if sub is not None and sup is not None:
                return _element("munderover" if _large(base) else "msubsup", base, sub, sup)
            if sub is not None:
                return _element("munder" if _large(base) else "msub", base, sub)
            return _element("msup", base, sup) if sup is not None else [base]
        case Frac(top, bottom):
            return _element("mfrac", top, bottom)
        case Root(body, index):
            return _element("msqrt", body) if index is None else _element("mroot", body, index)
        case Accent(latex, body):
            wide = ' stretchy="true"' if latex in ("\\overline", "\\widehat", "\\widetilde") else ""
            return ['<mover accent="true">', body, _operator(ACCENTS[latex], wide), "</mover>"]
        case Fence(left, body, right):
            opening = [_operator(FENCES[left], ' form="prefix" stretchy="true"')] if FENCES[left] else []
            closing = [_operator(FENCES[right], ' form="postfix" stretchy="true"')] if FENCES[right] else []
            return _element("mrow", *opening, body, *closing)
        case Table(kind, rows):
            columns = _COLUMNS[kind]
            width = max((len(row) for row in rows), default=0)
            sides = [columns[min(n, len(columns) - 1)] for n in range(width)]
            display = ' displaystyle="true"' if kind == "equations" else ""
            table: list[_Piece] = [f'<mtable{display} columnalign="{" ".join(sides)}">']
            for row in rows:
                table.append("<mtr>")
                for n, (side, cell) in enumerate(zip(sides, row, strict=False)):
                    sign = ["<mo>=</mo>"] if n and kind == "equations" else []
                    table += [f'<mtd class="{side}">', *sign, cell, "</mtd>"]
                table.append("</mtr>")
            table.append("</mtable>")
            if kind == "equations":
                return table
            left, right = ("{", "") if kind == "cases" else ("[", "]")
            ends = [
                _operator(c, f' form="{form}" stretchy="true"') if c else ""
                for c, form in ((left, "prefix"), (right, "postfix"))
            ]
            return _element("mrow", ends[0], *table, ends[1])
        case Slot(name):
            raise ValueError(f"an empty place is no formula: {name}")


def _large(base: Box) -> bool:
    """Whether an index stands below the base and not beside it."""
    return (isinstance(base, Sign) and base.latex in LARGE) or (
        isinstance(base, Func) and base.name in _LIMITS
    )
