"""Where a Jacobian or Hessian can be other than 0, and how few sweeps show all of it.

`structure` propagates the pattern of nonzeros through a typed graph, `colouring` finds columns (or rows) that one sweep
can share, `compression` is what the verbs use: a pattern, its colours, and the way from swept values to the entries.

A. R. Curtis, M. J. D. Powell, J. K. Reid, "On the estimation of sparse Jacobian matrices", IMA J. Appl. Math. 13(1), 1974,
doi:10.1093/imamat/13.1.117; A. H. Gebremedhin, F. Manne, A. Pothen, "What color is your Jacobian?", SIAM Review 47(4),
2005, doi:10.1137/S0036144504444711.
"""
