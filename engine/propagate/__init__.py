"""First-order propagation of uncertainty: Σ_y = J Σ_x Jᵀ, with J the Jacobian by automatic differentiation.

`uncertain` reads Σ_x from standard deviations and covariances, `spread` computes with it, `propagation` is the request.

JCGM 100:2008, *Evaluation of measurement data: Guide to the expression of uncertainty in measurement* (GUM), section 5.
"""

from __future__ import annotations

from engine.propagate.propagation import Propagation

__all__ = ["Propagation"]
