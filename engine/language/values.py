"""What an expression can be while a text is read: a node, a literal, a function, several of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypeAlias

from engine.aval import Array
from engine.op import Op

if TYPE_CHECKING:
    from engine.language.recorder import Recorder


class Unknown:
    """The static value of a node that has none."""


UNKNOWN = Unknown()


class Ref:
    """A node, as a value of the program.

    `home` is the list that it stands in. `index` is its position among the nodes there, or for an input −1 − its position
    among the inputs. `static` is its value where it follows from literals alone; `items` are the elements of a list
    literal. `bad` marks what stands in the place of a mistake. `whole` says that it holds integers, though as doubles.
    """

    __slots__ = ("bad", "home", "index", "items", "static", "whole")

    def __init__(
        self,
        home: Recorder,
        index: int,
        static: Any = UNKNOWN,
        items: Sequence[Any] | None = None,
        bad: bool = False,
        whole: bool = False,
    ) -> None:
        self.home = home
        self.index = index
        self.static = static
        self.items = items
        self.bad = bad
        self.whole = whole

    def same(self, home: Recorder, index: int) -> Ref:
        """This value at another place: its identity, or an input that stands for it."""
        return Ref(home, index, self.static, self.items, self.bad, self.whole)


class Several:
    """A node with several results, to be unpacked or indexed; `count` is None where only shapes tell it."""

    __slots__ = ("count", "home", "index", "op")

    def __init__(self, home: Recorder, index: int, op: Op, count: int | None) -> None:
        self.home = home
        self.index = index
        self.op = op
        self.count = count


class Tuple:
    """Several values, each for itself; where an array is needed, they are stacked.

    `size` counts the values in it, those of tuples inside too; `depth` says how deep these are. `node` is the array, once it
    was needed, and `name` what it is called.
    """

    __slots__ = ("depth", "items", "name", "node", "size")

    def __init__(self, items: Sequence[Value]) -> None:
        self.items = tuple(items)
        self.node: Ref | None = None
        self.name: str | None = None
        inner = [v for v in self.items if type(v) is Tuple]
        self.size: int = sum(v.size for v in inner) + len(self.items) - len(inner)
        self.depth: int = 1 + max((v.depth for v in inner), default=0)


class Function:
    """What can be called: a helper, an op, a derivative. `title` is what messages call it."""

    __slots__ = ()

    @property
    def title(self) -> str:
        """Its name."""
        raise NotImplementedError

    def wishes(self, k: int) -> str | None:
        """The name of parameter `k`, for the input that stands for it."""
        return None


class Free:
    """A name that may be an input or a function: `sin` as an argument of a helper. Its use will tell."""

    __slots__ = ("at", "name")

    def __init__(self, name: str, at: int) -> None:
        self.name = name
        self.at = at


class Unset:
    """What a name stands for that has no value here; `why` is the sentence to say when it is used."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        self.why = why


class Lazy:
    """A value that is made when it is first used."""

    __slots__ = ("make", "value")

    def __init__(self, make: Callable[[], Value]) -> None:
        self.make: Callable[[], Value] | None = make
        self.value: Value = None

    @property
    def vacant(self) -> bool:
        """Whether there would be no value to use."""
        return False

    def settle(self) -> Value:
        """The value."""
        if self.make is not None:
            make, self.make = self.make, None
            self.value = make()
        return self.value


Value: TypeAlias = "Ref | Several | Tuple | Function | Free | Unset | Lazy | float | Array | str | EllipsisType | list[Any] | None"  # noqa: E501
"""What an expression can be: a node, a literal, a function, or an argument that is no array."""


def leaves(value: Value) -> Iterator[Value]:
    """The values in nested tuples, from left to right."""
    stack = [value]
    while stack:
        one = stack.pop()
        if type(one) is Tuple:
            stack.extend(reversed(one.items))
        else:
            yield one


def rebuilt(like: Value, values: Iterator[Value]) -> Value:
    """Nested tuples like those of `like`, with other values."""
    if type(like) is not Tuple:
        return next(values)
    done: list[Value] = []
    stack: list[tuple[Tuple, list[Value]]] = [(like, [])]
    while stack:
        pattern, made = stack[-1]
        if len(made) == len(pattern.items):
            stack.pop()
            (stack[-1][1] if stack else done).append(Tuple(made))
            continue
        part = pattern.items[len(made)]
        if type(part) is Tuple:
            stack.append((part, []))
        else:
            made.append(next(values))
    return done[0]


def alike(a: Value, b: Value) -> bool:
    """Whether two values are nested tuples of one form."""
    stack = [(a, b)]
    while stack:
        p, q = stack.pop()
        if type(p) is Tuple and type(q) is Tuple:
            if len(p.items) != len(q.items):
                return False
            stack.extend(zip(p.items, q.items, strict=True))
        elif type(p) is Tuple or type(q) is Tuple:
            return False
    return True
