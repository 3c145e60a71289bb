"""Every way in which a program, its inputs or a request for a derivative can be wrong.

The tree::

    EngineError                 what all others are; never raised itself
     ├─ ProgramError            the program cannot be read or does not make sense
     │   ├─ SyntaxProblem       program text that is not in the language            syntax
     │   ├─ UnknownOp           an op name that is not in the catalogue             unknown-op
     │   ├─ UnknownNode         a node id that the program does not have            unknown-node
     │   ├─ DuplicateId         two nodes with one id                               duplicate-id
     │   ├─ InvalidId           an id that is empty, too long or not printable      invalid-id
     │   ├─ Cycle               nodes that wait for one another                     cycle
     │   ├─ Arity               too few or too many operands                        arity
     │   ├─ InvalidField        a field of a graph of the wrong type                invalid-field
     │   ├─ UnknownField        a field of a graph that means nothing               unknown-field
     │   └─ InvalidAttribute    a static argument that the op cannot take           invalid-attribute
     ├─ InputError              the inputs do not fit the program
     │   ├─ MissingInput        an input without a value                            missing-input
     │   ├─ UnknownInput        a value for something that is no input              unknown-input
     │   └─ InvalidArray        a value that is not an array                        invalid-array
     ├─ TypeProblem             shapes or dtypes do not fit
     │   ├─ ShapeMismatch       operands whose shapes do not go together            shape-mismatch
     │   ├─ DtypeMismatch       operands of a kind the op cannot take               dtype-mismatch
     │   ├─ EmptyReduction      the maximum of nothing                              empty-reduction
     │   └─ NonScalarOutput     a gradient of an array, without a seed              non-scalar-output
     ├─ NotDifferentiable       a derivative of, or with respect to, integers       not-differentiable
     ├─ SingularMatrix          a matrix that cannot be inverted or factored        singular-matrix
     ├─ Unsupported             understood, but not offered                         unsupported
     ├─ LimitExceeded           larger than this server allows                      limit-exceeded
     ├─ DeadlineExceeded        took longer than it was given                       timeout
     └─ Mistakes                several of the above, found in one reading

`kind` is the name of the problem as `api.md`, section 8 lists them. The engine knows nothing of HTTP: which status a
kind becomes stands in one table at the edge (`service/problems.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar

MAX_QUOTED = 80
"""Longest piece of a client's text that an error repeats: an error is no echo chamber."""


@dataclass(frozen=True, slots=True)
class Where:
    """Where in what the client sent something stands.

    `pointer` is an RFC 6901 JSON pointer into the request (graphs); `line` and `column` count from 1 in code points
    (program text), with `excerpt` the line and a caret under the place.
    """

    pointer: str | None = None
    line: int | None = None
    column: int | None = None
    excerpt: str | None = None


class EngineError(Exception):
    """What all errors that a user can cause have in common.

    `detail` says what is wrong in terms of the user's program and what would be right; `node` names the node;
    `where` is the place in the request; `suggestions` are names that may have been meant.
    """

    kind: ClassVar[str] = "unsupported"

    def __init__(
        self,
        detail: str,
        *,
        node: str | None = None,
        where: Where | None = None,
        suggestions: Sequence[str] = (),
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.node = node
        self.where = where
        self.suggestions = tuple(suggestions)

    def at(self, node: str | None, where: Where | None) -> EngineError:
        """This error, with the node and the place filled in where they were not known before."""
        if self.node is None:
            self.node = node
        if self.where is None:
            self.where = where
        return self


class ProgramError(EngineError):
    """The program cannot be read or does not make sense."""

    kind = "invalid-field"


class SyntaxProblem(ProgramError):
    """Program text that is not in the language."""

    kind = "syntax"


class UnknownOp(ProgramError):
    """An op name that is not in the catalogue."""

    kind = "unknown-op"


class UnknownNode(ProgramError):
    """A node id that the program does not have."""

    kind = "unknown-node"


class DuplicateId(ProgramError):
    """Two nodes with one id."""

    kind = "duplicate-id"


class InvalidId(ProgramError):
    """An id that is empty, too long, has control characters, or reads as a non-finite number."""

    kind = "invalid-id"


class Cycle(ProgramError):
    """Nodes that wait for one another; the ids on the cycle are named in order."""

    kind = "cycle"


class Arity(ProgramError):
    """Too few or too many operands."""

    kind = "arity"


class InvalidField(ProgramError):
    """A field of a graph document that has the wrong type."""

    kind = "invalid-field"


class UnknownField(ProgramError):
    """A field of a graph document that means nothing there."""

    kind = "unknown-field"


class InvalidAttribute(ProgramError):
    """A static argument (axis, shape, index, …) that the op cannot take."""

    kind = "invalid-attribute"


class InputError(EngineError):
    """The inputs do not fit the program."""

    kind = "invalid-array"


class MissingInput(InputError):
    """An input node without a value."""

    kind = "missing-input"


class UnknownInput(InputError):
    """A value for a name that is no input of the program."""

    kind = "unknown-input"


class InvalidArray(InputError):
    """A value that is not a number or a rectangular array of numbers."""

    kind = "invalid-array"


class TypeProblem(EngineError):
    """Shapes or dtypes that do not fit."""

    kind = "shape-mismatch"


class ShapeMismatch(TypeProblem):
    """Operands whose shapes do not go together."""

    kind = "shape-mismatch"


class DtypeMismatch(TypeProblem):
    """Operands of a kind that the op cannot take."""

    kind = "dtype-mismatch"


class EmptyReduction(TypeProblem):
    """A reduction without a neutral element over no elements."""

    kind = "empty-reduction"


class NonScalarOutput(TypeProblem):
    """The gradient of an array was asked for without a seed."""

    kind = "non-scalar-output"


class NotDifferentiable(EngineError):
    """A derivative of, or with respect to, an integer or boolean node."""

    kind = "not-differentiable"


class SingularMatrix(EngineError):
    """A matrix that cannot be inverted or factored."""

    kind = "singular-matrix"


class Unsupported(EngineError):
    """Understood, but not offered; the detail says what is."""

    kind = "unsupported"


class LimitExceeded(EngineError):
    """Larger than allowed: `limit` names the limit, `maximum` and `actual` are in its unit."""

    kind = "limit-exceeded"

    def __init__(
        self,
        limit: str,
        maximum: float,
        actual: float,
        detail: str | None = None,
        *,
        node: str | None = None,
        where: Where | None = None,
    ) -> None:
        shown = detail or f"This needs {actual:,} {limit.replace('_', ' ')}; the limit is {maximum:,}."
        super().__init__(shown, node=node, where=where)
        self.limit = limit
        self.maximum = maximum
        self.actual = actual


class DeadlineExceeded(EngineError):
    """The computation took longer than it was given and was stopped between two steps."""

    kind = "timeout"


class Mistakes(EngineError):
    """Several mistakes found in one reading: `errors`, at least one; `omitted` counts those that are not listed."""

    def __init__(self, errors: Iterable[EngineError], omitted: int = 0) -> None:
        self.errors = tuple(errors)
        self.omitted = omitted
        first = self.errors[0]
        super().__init__(first.detail, node=first.node, where=first.where, suggestions=first.suggestions)


class MistakeCollector:
    """Collects mistakes while reading goes on, and keeps the first `most` of them.

    The count of the rest is kept as a number only: an error list without bound is an attack on the server.
    """

    def __init__(self, most: int = 20) -> None:
        self.most = most
        self.errors: list[EngineError] = []
        self.omitted = 0

    def add(self, error: EngineError) -> None:
        """Take note of a mistake (a `Mistakes` is taken apart)."""
        found = error.errors if isinstance(error, Mistakes) else (error,)
        self.omitted += error.omitted if isinstance(error, Mistakes) else 0
        for one in found:
            if len(self.errors) < self.most:
                self.errors.append(one)
            else:
                self.omitted += 1

    def raise_if_any(self) -> None:
        """Raise what was collected: the one error itself, or all of them as `Mistakes`."""
        if len(self.errors) == 1 and not self.omitted:
            raise self.errors[0]
        if self.errors:
            raise Mistakes(self.errors, self.omitted)


def quoted(text: object) -> str:
    """A client's own words in quotation marks, shortened, for use inside an error's detail."""
    shown = str(text)
    if len(shown) > MAX_QUOTED:
        shown = shown[: MAX_QUOTED - 1] + "…"
    return f"'{shown}'"


def nearest(name: str, names: Iterable[str], most: int = 3) -> tuple[str, ...]:
    """Names that may have been meant by `name`, best first; none for a name so long that comparing would cost."""
    if len(name) > 64:
        return ()
    known = [n for n in names if abs(len(n) - len(name)) <= 8][:2000]
    exact = [n for n in known if n.lower() == name.lower()]
    close = get_close_matches(name, known, n=most, cutoff=0.6)
    return tuple(dict.fromkeys([*exact, *close]))[:most]
