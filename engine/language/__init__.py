"""The reader of program text: a small, safe subset of Python to a program. Never `eval`, never Python's own parser.

    lexer        text to tokens                         (grammar.lark's terminals)
    parser       tokens to a syntax tree                (grammar.lark, operators, syntax)
    lower        the whole text: names, outputs
    statements   assignments, calls of helpers          (functions, unfolding)
    branches     `if`                                   (bodies)
    loops        `for`, `while`                         (sources, bodies)
    control      functions of functions                 (iteration, derivatives, directions; bodies)
    expressions  lists, operators, conditions           (walks over the tree: walker)
    calls        functions, methods, attributes         (arguments, indexing)
    fold         arithmetic on literals
    names        modules, constants, dtypes
    values       what an expression can be
    recorder     nodes, and at the end their ids
    hints        what to say about what is not in the language

Nothing here recurses over what a client wrote, and all of it takes time proportional to the text.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from engine.errors import LimitExceeded, SyntaxProblem
from engine.language.hints import Refused
from engine.language.lower import Lowering
from engine.language.parser import parse
from engine.language.recorder import Shared
from engine.program import Program, TextSource

__all__ = ["TextLimits", "parse_text"]


@dataclass(frozen=True, slots=True)
class TextLimits:
    """How large a text may be: characters, nesting of its brackets and blocks, nodes; and how many mistakes are listed."""

    expression_chars: int = 262_144
    depth: int = 200
    nodes: int = 1_000_000
    errors: int = 20


def parse_text(
    text: str,
    *,
    inputs: Collection[str] = (),
    limits: TextLimits = TextLimits(),
    pointer: str | None = None,
) -> Program:
    """The program that a text describes (`api.md`, section 2).

    `inputs` are names that the request gives values for: they are inputs even where they are called `pi`, `e`, `inf` or
    `nan`. Those that the text does not use are left to the caller. Names are kept as written, without normalisation.

    `pointer` is where the text stands, for the errors of those who run the program, if that is not in their request.

    Raises `SyntaxProblem`, `UnknownOp`, `Arity`, `InvalidAttribute`, `InvalidId`, `InvalidArray`, `Unsupported`, each
    with its place and where it has one its node, or several of them as `Mistakes`; `LimitExceeded` for
    `expression_chars`, `depth` and `nodes`.
    """
    if len(text) > limits.expression_chars:
        raise LimitExceeded(
            "expression_chars",
            limits.expression_chars,
            len(text),
            f"The text has {len(text):,} characters; the limit is {limits.expression_chars:,}.",
        )
    try:
        statements = parse(text, limits.depth)
    except Refused as refused:
        where = TextSource(text).where(refused.at)
        raise SyntaxProblem(refused.detail, where=where, suggestions=refused.suggestions) from None
    shared = Shared(TextSource(text, pointer), limits.nodes, limits.errors)
    return Lowering(shared, statements, inputs).run()
