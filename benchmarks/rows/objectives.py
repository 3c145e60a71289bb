"""GradBench's objectives, at its small and medium sizes: ours as in docs/gallery.md, theirs as they would write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import peers
from benchmarks.measure import Settings, Side, interleaved
from benchmarks.ours import Prepared
from benchmarks.row import OURS, Case, Line, Row, geometric_mean, lines_of


@dataclass(frozen=True)
class Objective:
    """One objective: our program with its data, and the other systems' functions of the same arguments in this order.

    What decides shapes or counts of steps is in our data alone; the others have it in their functions. `wrt` are the first
    arguments.
    """

    name: str
    text: str
    data: Sequence[Mapping[str, Any]]
    wrt: tuple[str, ...]
    arguments: tuple[str, ...]
    jax: Callable[..., Any]
    torch: Callable[..., Any]
    autograd: Callable[..., Any] | None
    tolerance: float = 1e-9

    def in_order(self) -> list[list[Any]]:
        """The data sets as lists of arguments."""
        return [[d[name] for name in self.arguments] for d in self.data]


def run(settings: Settings) -> Iterator[Line]:
    """Every objective, gradient against primal, and the geometric mean."""
    from benchmarks.objectives import OBJECTIVES
    from benchmarks.objectives.adjustment import adjustment

    ratios: dict[str, float] = {}
    for make in OBJECTIVES:
        objective = make(settings.quick)
        for line in measured(objective, settings):
            if line.peer == "JAX" and line.ratio is not None:
                ratios[objective.name] = line.ratio
            yield line
    for line in adjustment(settings.quick).lines(settings):
        if line.peer == "JAX" and line.ratio is not None:
            ratios["BA"] = line.ratio
        yield line
    mean = geometric_mean(list(ratios.values()))
    yield Line("geometric mean of the above", "JAX", mean, 1.0, "×", mean, 1.0)
    without = geometric_mean([r for name, r in ratios.items() if name != "det"])
    yield Line("geometric mean without det", "JAX", without, 1.0, "×", without, None)


def measured(o: Objective, settings: Settings) -> Iterator[Line]:
    """Gradient beside the peers', then beside our own primal."""
    ours = Prepared("grad", o.text, o.data, wrt=o.wrt, nodes="none")
    primal = Prepared("evaluate", o.text, o.data, nodes="none")
    j = peers.jax()
    n = len(o.wrt)

    def jax_both(*arguments: Any) -> Any:
        value, gradients = j.value_and_grad(o.jax, argnums=tuple(range(n)))(*arguments)
        return [value, *gradients]

    sets = o.in_order()
    sides: dict[str, Side] = {
        OURS: ours.run,
        "JAX": peers.jax_side(jax_both, sets),
        "PyTorch": peers.torch_gradients(o.torch, sets, tuple(range(n))),
    }
    if o.autograd is not None:
        sides["autograd"] = autograd_side(o.autograd, sets, n)

    def read(answer: Any) -> Any:
        return [answer["value"], *(answer["gradients"][name] for name in o.wrt)]

    again = f"{OURS}, with preparing"
    own = f"{OURS}, primal"
    Case(
        o.name,
        {**sides, again: ours.again},
        o.tolerance,
        answers={OURS: read, again: read, "PyTorch": peers.numpy_of},
    ).check()
    times = interleaved({**sides, again: ours.again, own: primal.run}, settings)
    # A single objective has no target of its own; their mean has.
    yield from lines_of(o.name, {k: v for k, v in times.items() if k != own}, {}, [again])
    g, p = times[OURS].median, times[own].median
    yield Line(f"{o.name}: gradient", "own primal", g, p, "s", p / g, 0.25)


def autograd_side(function: Callable[..., Any], sets: Sequence[Sequence[Any]], n: int) -> Side:
    """Value and gradients by the first n arguments."""
    from autograd import make_vjp

    def side(k: int) -> Any:
        arguments = sets[k % len(sets)]
        pull, value = make_vjp(lambda first: function(*first, *arguments[n:]))(tuple(arguments[:n]))
        return [value, *pull(1.0)]

    return side


ROW = Row(
    "objectives",
    "GradBench's objectives: GMM, k-means, LSTM, BA, ODE, log-sum-exp, least squares, det",
    "JAX jit, PyTorch, autograd",
    "gradient ≤ 4 × primal where the output is scalar; geometric mean no slower than JAX jit",
    "Ours: the programs of docs/gallery.md. JAX: `jit(value_and_grad)` with `scan` for loops; for bundle adjustment "
    "`vmap` of the Jacobian of one observation, which is its sparse form worked out by hand. PyTorch eager (`torch.func` "
    "for bundle adjustment). autograd has no way to write bundle adjustment that takes less than minutes, and is left out "
    "there. k-means by |x|² − 2 x·c + |c|² everywhere. “Own primal” is our own value alone: 0.25 means that the gradient, "
    "value included, takes 4 times its time.",
    run,
)
