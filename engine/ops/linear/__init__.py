"""Linear algebra on stacks of matrices: systems, determinants, factorisations, functions of matrices."""

from engine.ops.linear import (  # noqa: F401  # each module registers its ops
    cholesky,
    determinant,
    eigen,
    functions,
    lu,
    polar,
    products,
    pseudo,
    qr,
    solve,
    strong,
    structured,
    svd,
    sylvester,
    tensors,
    triangular,
    vander,
)
