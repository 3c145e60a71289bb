"""JSON computation graphs, read into programs (`api.md`, section 2, "graph").

`read_graph` makes a `Program` of a posted graph and collects every mistake on the way, each with the JSON pointer of
its place. `Program.to_json` is the way back; reading what it wrote gives the same digest. `read_body` reads a subgraph
that stands alone.

Two things are not taken for granted here. Graphs come with 10⁶ nodes, in any order, in chains as long as that: nothing
recurses on the graph, and a plain node takes about a microsecond. And graphs come from strangers: what is wrong a
hundred thousand times is counted, not described.
"""

from engine import ops  # noqa: F401  # fills the registry
from engine.spec.order import evaluation_order
from engine.spec.reader import read_body, read_graph
from engine.spec.reading import GraphLimits

__all__ = ["GraphLimits", "evaluation_order", "read_body", "read_graph"]
