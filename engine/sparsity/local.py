"""How the entries of one op's result depend on those of its operands: found from what the op declares, for every op.

- *Elementwise* ops say so: entry by entry.
- A *linear* op is asked. Applied to the numbers of its operand's entries it either moves them (views, indexing, concat,
  windows), which a second application to random numbers confirms, or its transpose does (sums, scatter, fold). A small
  one that does neither shows its matrix when it is applied to an identity.
- What is left *mixes*: along its `axis` or `axes`, if it has such a parameter and its shapes are those of a reduction or
  a map along axes; else the axes that are no batch. That an op is its own map over leading axes is what `vmap` rests on.

Matrix products and indices that are not known have rules of their own (`mixing`), and so have loops and choices (`loops`).
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.aval import Aval
from engine.op import Linear
from engine.sparsity.call import Call, Patterns
from engine.sparsity.linear import UNDECIDED, linear
from engine.sparsity.mixing import RULES, mixed
from engine.sparsity.pattern import Pattern, union


def flow(call: Call) -> Patterns:
    """Patterns of the node's results (None where a result holds integers, or depends on no seed)."""
    live = call.live()
    op = call.op
    several = not isinstance(call.node.aval, Aval)
    if not live:
        return (None,) * len(call.results) if several else None
    if several:
        return tuple(mixed(call, live, aval) if aval.floating else None for aval in call.results)
    aval = call.results[0]
    if not aval.floating or not aval.size:
        return None
    own = RULES.get(op.name)
    if own is not None:
        return own(call, live)
    if op.elementwise:
        return _entrywise(call, live, aval)
    if all(isinstance(op.rule(k), Linear) for k in live):
        found = linear(call, live, aval)
        if found is not UNDECIDED:
            return found  # type: ignore[no-any-return]  # a pattern, or None
    return mixed(call, live, aval)


def _entrywise(call: Call, live: Sequence[int], aval: Aval) -> Pattern:
    shape = aval.shape
    return union([call.patterns[k].spread(shape) for k in live], call.context.most)  # type: ignore[union-attr]  # live ones are there
