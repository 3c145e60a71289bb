"""The op catalogue, by family. Importing this package fills the registry; nothing is added to it afterwards."""

from engine.ops import (  # noqa: F401  # each module registers its ops
    linear,
    refused,
    written,
)
from engine.ops.control import (  # noqa: F401  # each module registers its ops
    checkpoint,
    cond,
    counted,
    custom,
    derivatives,
    derived,
    loops,
    mapping,
    scan,
    subgraph,
    while_loop,
)
from engine.ops.implicit import (  # noqa: F401  # each module registers its ops
    dense,
    implicit,
    linear_solve,
    newton,
    packing,
    root,
)
from engine.ops.index import (  # noqa: F401  # each module registers its ops
    assign,
    flat_index,
    gather,
    getitem,
    indexing,
    scatter,
    search,
    segments,
    sorting,
)
from engine.ops.layers import (  # noqa: F401  # each module registers its ops
    adaptive,
    attention,
    batchnorm,
    convolution,
    convtranspose,
    embedding,
    loss,
    loss_margin,
    loss_pointwise,
    nn,
    normalization,
    onnx_norms,
    pixels,
    pooling,
    recurrent,
    resize,
    spatial,
    unfold,
    windows,
)
from engine.ops.layout import (  # noqa: F401  # each module registers its ops
    arrange,
    creation,
    diagonal,
    grids,
    joining,
    onnx_shapes,
    padding,
    pieces,
    placing,
    shape,
    structural,
)
from engine.ops.pointwise import (  # noqa: F401  # each module registers its ops
    activation,
    activation_more,
    angles,
    arithmetic,
    elementary,
    elementwise,
    entropy,
    logic,
    number_parts,
    onnx_names,
    torch_names,
)
from engine.ops.products import (  # noqa: F401  # each module registers its ops
    einsum,
    linalg,
    matmul,
)
from engine.ops.reduce import (  # noqa: F401  # each module registers its ops
    covariance,
    cumulative,
    distances,
    logsumexp,
    maxwhere,
    nan_reduction,
    norms,
    onnx_reduce,
    quantiles,
    recurrence,
    reduction,
    statistics,
    sums,
)
from engine.ops.samples import (  # noqa: F401  # each module registers its ops
    calculus,
    signal,
)
from engine.ops.special import (  # noqa: F401  # each module registers its ops
    bessel,
    beta,
    densities,
    error_functions,
    gamma,
    gamma_ratio,
    incomplete,
    incomplete_shape,
    integrals,
    quadrature,
    tower,
    zeta,
)
