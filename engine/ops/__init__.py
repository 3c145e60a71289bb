"""The op catalogue. Importing this package fills the registry; nothing is added to it afterwards."""

from engine.ops import (  # noqa: F401  # each module registers its ops
    activation,
    arithmetic,
    control,
    creation,
    einsum,
    elementary,
    gather,
    getitem,
    indexing,
    linalg,
    logic,
    loss,
    nn,
    reduction,
    shape,
    structural,
)
