"""Programs that code is written from in tests: of numbers at many inputs, of arrays, and with loops and branches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

INF, NAN = float("inf"), float("nan")
RANDOM = np.random.default_rng(20260725)


def n(*shape: int) -> Any:
    """Normal random numbers."""
    return RANDOM.normal(size=shape)


def spd(size: int) -> Any:
    """A positive definite matrix."""
    a = n(size, size)
    return a @ a.T + size * np.eye(size)


PLANE = [{"x": x, "y": y} for x, y in ((0.7, 1.3), (-2.5, 0.4), (0.0, -0.0), (3.0, -2.0), (1e5, 1e-5))]
EDGES = [
    {"x": x, "y": y}
    for x, y in ((INF, 1.0), (-INF, 2.0), (NAN, 1.0), (0.0, INF), (1e300, -1e300), (-0.0, 0.0))
]

SCALARS: dict[str, tuple[str, list[Mapping[str, Any]]]] = {
    "cube": ("x**3", [{"x": v} for v in (1.0, 0.0, -2.0, INF, NAN, 1e200)]),
    "polynomial": ("3*x**5 - 2*x**2*y + y**3 - 7", PLANE + EDGES),
    "rosenbrock": ("(1 - x)**2 + 100*(y - x**2)**2", PLANE + EDGES),
    "article": (
        "x = x1*w1\ny = tanh(x + x2*w2 + b)\n(y - 1)**2",
        [{"x1": 2.0, "x2": 0.0, "w1": -3.0, "w2": 1.0, "b": 6.8813735870195432}],
    ),
    "logistic": (
        "z = w1*x1 + w2*x2 + b\np = 1/(1 + exp(-z))\n-(t*log(p) + (1 - t)*log(1 - p))",
        [{"w1": 0.5, "w2": -0.25, "b": 0.1, "x1": 1.5, "x2": 2.0, "t": t} for t in (0.0, 1.0)],
    ),
    "two_layers": (
        "h1 = tanh(w11*x1 + w12*x2 + b1)\nh2 = tanh(w21*x1 + w22*x2 + b2)\ny = v1*h1 + v2*h2 + c\n(y - t)**2",
        [
            {
                "x1": 1.0,
                "x2": -1.0,
                "w11": 0.3,
                "w12": 0.2,
                "b1": 0.1,
                "w21": -0.4,
                "w22": 0.6,
                "b2": 0.0,
                "v1": 0.7,
                "v2": -0.5,
                "c": 0.2,
                "t": 1.0,
            }
        ],
    ),
    "quotients": ("x/y + y/(1 + x*x)", PLANE + EDGES),
    "powers": (
        "x**y + abs(x)**1.5 + y**-2",
        [{"x": 2.0, "y": 3.5}, {"x": 0.0, "y": 2.0}, {"x": 1.0, "y": INF}],
    ),
    "trigonometry": ("sin(x)*cos(y) + tan(x) + atan2(y, x) + hypot(x, y)", PLANE),
    "hyperbolic": ("sinh(x) + cosh(y) + asinh(x*y) + tanh(x) + atanh(tanh(y))", [{"x": 0.3, "y": -0.8}]),
    "logarithms": ("log(x) + log1p(y) + log2(x) + log10(x) + expm1(y) + exp2(x)", [{"x": 0.7, "y": 1e-9}]),
    "piecewise": (
        "where(x > y, x*x, where(x < 0, -y, x*y)) + maximum(x, y) - minimum(x, 2) + clip(x, -1, 1)",
        PLANE + EDGES,
    ),
    "kinks": ("abs(x) + relu(y) + sign(x)*y + floor(x)*y + ceil(y) + round(x) + x % y + x // 2", PLANE),
    "masks": ("m = (x > 0) & (y < 2) | ~(x == y)\nwhere(m, x, y) * 2", PLANE + EDGES),
    "activations": (
        "softplus(x) + sigmoid(y) + silu(x) + gelu(y) + elu(x) + leaky_relu(y) + mish(x) + softsign(y)",
        PLANE,
    ),
    "logsums": ("logaddexp(x, y) + log_cosh(x) + xlogy(x, 2 + y*y)", PLANE),
    "errors": (
        "erf(x) + erfc(y) + ndtr(x) + log_ndtr(y) + erfinv(tanh(x)/2) + erfcx(y)",
        [{"x": 0.7, "y": 1.3}, {"x": -3.0, "y": -8.0}],
    ),
    "gammas": (
        "gamma(x) + gammaln(y) + digamma(x) + beta(x, y) + polygamma(1, y)",
        [{"x": 3.3, "y": 0.4}, {"x": 12.0, "y": 50.0}],
    ),
    "bessels": (
        "j0(x) + j1(y) + y0(x) + i0(y) + k1(x) + jv(3, y)",
        [{"x": 0.7, "y": 1.3}, {"x": 40.0, "y": 33.0}],
    ),
    "integrals": (
        "exp1(x) + expi(y) + lambertw(x) + ellipk(0.3*x) + spence(y) + dawsn(x)",
        [{"x": 0.7, "y": 1.3}],
    ),
    "newton": (
        "s = x\nfor i in range(25):\n    s = 0.5*(s + y/s)\ns",
        [{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": 1e-3}],
    ),
    "newton_while": (
        "s = x\nwhile abs(s*s - y) > 1e-12:\n    s = 0.5*(s + y/s)\ns",
        [{"x": 1.0, "y": 2.0}, {"x": 5.0, "y": 0.5}],
    ),
    "branch": ("if x > y:\n    z = x*x\nelse:\n    z = exp(y)\nz + x", PLANE),
    "integers": ("n // 3 + n % 4 + x * n**2 - abs(n)", [{"x": 0.5, "n": np.int64(k)} for k in (7, -7, 0)]),
    "flags": ("where(flag, x, -x)*2", [{"x": 0.5, "flag": np.bool_(b)} for b in (True, False)]),
    "collatz": (
        "k = 0\nv = x\nwhile v > 1:\n    if v > y:\n        v = v/2\n    else:\n        v = v - 0.75\n    k = k + 1\nv*k",
        [{"x": 9.7, "y": 3.0}],
    ),
    "constant": ("2.5 + 0*x", [{"x": 1.0}]),
    "unused": ("y*y + 0*x", [{"x": 1.0, "y": 3.0}]),
}

TENSORS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "least_squares": ("sum((X @ w + b - y)**2)", {"X": n(5, 3), "w": n(3), "b": 0.3, "y": n(5)}),
    "softmax_regression": (
        "mean(logsumexp(X @ W, axis=1) - sum((X @ W)*T, axis=1))",
        {"X": n(4, 3), "W": n(3, 2), "T": n(4, 2)},
    ),
    "mlp": (
        "sum((relu(x @ W1 + b1) @ W2 + b2)**2)",
        {"x": n(4, 2), "W1": n(2, 6), "b1": n(6), "W2": n(6, 1), "b2": n(1)},
    ),
    "convolution": ("sum(conv2d(x, k)**2)", {"x": n(1, 2, 5, 5), "k": n(3, 2, 3, 3)}),
    "pooling": ("sum(max_pool2d(x, 2)**2) + sum(avg_pool2d(x, 2))", {"x": n(1, 1, 4, 4)}),
    "mixture": (
        "sum(logsumexp(log_softmax(a) - 0.5*((x[:, None] - m)/exp(s))**2 - s, axis=1))",
        {"x": n(7), "a": n(3), "m": n(3), "s": n(3)},
    ),
    "attention": (
        "sum(softmax(q @ transpose(k) / 2, axis=-1) @ v)",
        {"q": n(3, 4), "k": n(5, 4), "v": n(5, 2)},
    ),
    "normalised": ("sum(layer_norm(x, [4])**3)", {"x": n(3, 4)}),
    "cumulative": (
        "sum(cumsum(x)*y) + prod(x) + sum(cumprod(y)) + sum(logcumsumexp(x))",
        {"x": n(5), "y": n(5)},
    ),
    "slices": ("sum(x[1:5:2] * flip(x)[:2]) + x[-1] + sum(x[::-1]*x)", {"x": n(6)}),
    "joins": (
        "sum(concat([x, 2*y])**2) + sum(stack([x, x*y], axis=1)[:, 1]) + sum(roll(x, 1)*y) + sum(pad(x, 1))",
        {"x": n(3), "y": n(3)},
    ),
    "gathers": (
        "sum(x.reshape(6)[i]*y) + sum(take(x, j, axis=1))",
        {"x": n(2, 3), "i": np.array([5, 0, 0, -1]), "y": n(4), "j": np.array([[2, 0]])},
    ),
    "scatters": (
        "sum(scatter_add(x, i, y)**2) + sum(scatter_set(x, i, y)*x)",
        {"x": n(5), "i": np.array([1, 3, 1]), "y": n(3)},
    ),
    "one_entry": ("x[k]*x[k - 1] + m[k, 0]", {"x": n(5), "k": np.int64(3), "m": n(5, 2)}),
    "solve": ("sum(solve(a, b)**2)", {"a": n(4, 4), "b": n(4)}),
    "solve_many": ("sum(solve(a, b)*c)", {"a": n(3, 3), "b": n(3, 2), "c": n(3, 2)}),
    "logdet": ("logdet(a) + sum(inv(a)*c)", {"a": spd(4), "c": n(4, 4)}),
    "det": ("det(a)", {"a": n(3, 3)}),
    "det_singular": ("det(a)", {"a": np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]])}),
    "cholesky": (
        "l = cholesky(a)\n2*sum(log(diagonal(l))) + sum(solve_triangular(l, b, lower=True)**2)",
        {"a": spd(4), "b": n(4)},
    ),
    "qr": ("q, r = qr(A)\nsum(q*B) + sum(r*C)", {"A": n(4, 3), "B": n(4, 3), "C": n(3, 3)}),
    "qr_stack": ("q, r = qr(A)\nsum(q[:, 0]) + sum(r*C)", {"A": n(2, 3, 3), "C": n(2, 3, 3)}),
    "fit": ("q, r = qr(A)\nsum(solve_triangular(r, transpose(q) @ b)**2)", {"A": n(6, 3), "b": n(6)}),
    "lu": ("lu, p = lu_factor(A)\nsum(lu_solve((lu, p), b)**2)", {"A": n(3, 3), "b": n(3)}),
    "norms": ("norm(x) + norm(y, ord=1) + norm(x, ord=3) + norm(y, ord=inf)", {"x": n(5), "y": n(3)}),
    "order": (
        "sum(sort(x)*y) + median(x) + max(x) + sum(x[argsort(y)]**2) + sum(top_k(x, 2)[0])",
        {"x": n(7), "y": n(7)},
    ),
    "statistics": ("var(x) + std(y) + mean(x*y) + quantile(x, 0.3)", {"x": n(6), "y": n(6)}),
    "einsum": (
        "sum(einsum('ij,jk->ik', a, b)*c) + einsum('ii', d)",
        {"a": n(2, 3), "b": n(3, 4), "c": n(2, 4), "d": n(3, 3)},
    ),
    "interpolation": (
        "sum(interp(x, xp, fp))",
        {"x": n(4), "xp": np.array([-2.0, 0.0, 1.0, 3.0]), "fp": n(4)},
    ),
    "recurrent": (
        "h = zeros(3)\nfor i in range(6):\n    h = tanh(W @ h + x[i])\nsum(h*h)",
        {"W": n(3, 3), "x": n(6, 3)},
    ),
    "swap": (
        "a = x\nb = y\nfor i in range(5):\n    a, b = b, a + 0.1*b\nsum(a*y) + sum(b)",
        {"x": n(3), "y": n(3)},
    ),
    "while_array": ("v = x\nwhile sum(v*v) > 0.5:\n    v = 0.7*v\nsum(v*v*v)", {"x": n(4)}),
    "scan": (
        "def step(c, t):\n    return c*0.5 + t, c*t\nc, ys = scan(step, x0, xs)\nc + sum(ys)",
        {"x0": 0.3, "xs": n(6)},
    ),
    "mapped": (
        "def one(r, w):\n    return logsumexp(r*w)\nsum(vmap(one, in_axes=(0, None))(X, w))",
        {"X": n(4, 3), "w": n(3)},
    ),
    "branches": ("if sum(x) > 0:\n    y = x*x\nelse:\n    y = exp(x)\nsum(y[::-1]*x)", {"x": n(3)}),
    "array_value": ("tanh(W @ x)", {"W": n(3, 2), "x": n(2)}),
    "empty": ("sum(x) + y", {"x": np.zeros((0, 3)), "y": 2.0}),
    "fft_like": ("sum(convolve(x, y)**2) + sum(correlate(x, y))", {"x": n(6), "y": n(3)}),
}

CONTROL: dict[str, tuple[str, Mapping[str, Any]]] = {
    "vmap_while": (
        "def f(x):\n    while abs(x) > 0.1:\n        x = 0.5*sin(x)\n    return x\nsum(vmap(f)(xs)*w)",
        {"xs": n(5), "w": n(5)},
    ),
    "vmap_scan": (
        "def f(x):\n    s = x\n    for i in range(4):\n        s = s*x + 1\n    return s\nsum(vmap(f)(xs))",
        {"xs": n(5)},
    ),
    "vmap_cond": (
        "def f(x):\n    if x > 0:\n        y = x*x\n    else:\n        y = -x\n    return y\nsum(vmap(f)(xs))",
        {"xs": n(5)},
    ),
    "nested": (
        "s = x\nfor i in range(3):\n    t = s\n    for j in range(4):\n        t = t*0.5 + sin(s)\n    s = t\ns",
        {"x": 0.3},
    ),
    "nested_while": (
        "s = x\nfor i in range(3):\n    while s > 1:\n        s = s*0.6\n    s = s + 1.5\ns",
        {"x": 2.3},
    ),
    "flipping": ("a = x\nfor i in range(5):\n    a = a[::-1]*y + i\nsum(a)", {"x": n(4), "y": n(4)}),
    "transposing": (
        "A = X\nfor i in range(4):\n    A = transpose(A) @ W\nsum(A)",
        {"X": n(3, 3), "W": n(3, 3)},
    ),
    "noloop": ("s = x\nfor i in range(0):\n    s = s*2\ns", {"x": 0.3}),
    "oneloop": ("s = x\nfor i in range(1):\n    s = s*2\ns", {"x": 0.3}),
    "count": (
        "k = 0\ns = x\nfor i in range(7):\n    if s > 0.5:\n        k = k + 1\n        s = s - 0.3\n"
        "    else:\n        s = s*1.7\ns*k",
        {"x": 0.9},
    ),
    "flagcarry": (
        "done = x > 10\ns = x\nfor i in range(6):\n    done = done | (s > 2)\n    s = where(done, s, s*1.5)\ns",
        {"x": 0.9},
    ),
    "masked_sums": (
        "sum(where(m, x, -x)) + sum(x[i])",
        {"m": np.array([True, False, True]), "x": n(3), "i": np.array([0, -1])},
    ),
    "boolsum": ("sum(x > 0)*y + any(x > 1)*y + all(x > -9)*y", {"x": n(6), "y": 2.0}),
    "consts": ("sum(x*array([1.0, -inf, 0.0, -0.0])[0:1]) + sum(x*array([1.5,2,3,4]))", {"x": n(4)}),
    "checkpoint": ("def f(x):\n    return sin(x)*x\nsum(checkpoint(f)(x))", {"x": n(4)}),
    "inner_grad": ("def f(x):\n    return x**3\ng = grad(f)\nsum(vmap(g)(xs))", {"xs": n(4)}),
    "custom": ("def f(x):\n    return sum(exp(x))\nh = hessian(f)(x)\nsum(h*h)", {"x": n(3)}),
    "scalars_mix": ("x + sum(y*x) + y[0]*x**2 + sum(x - y[1:])", {"x": 0.4, "y": n(3)}),
    "break": ("s = x\nfor i in range(50):\n    s = s*0.9\n    if s < 0.1:\n        break\ns", {"x": 0.9}),
    "ode": (
        "y = y0\nfor i in range(20):\n    k1 = A @ y\n    k2 = A @ (y + 0.05*k1)\n    y = y + 0.1*k2\nsum(y**2)",
        {"y0": n(3), "A": -0.3 * n(3, 3)},
    ),
    "kalman": (
        "m = m0\nP = P0\nfor i in range(5):\n    S = H @ P @ transpose(H) + R\n    K = P @ transpose(H) @ inv(S)\n"
        "    m = m + K @ (z[i] - H @ m)\n    P = P - K @ H @ P\nsum(m*m) + trace(P)",
        {"m0": n(2), "P0": np.eye(2) * 2, "H": n(1, 2), "R": np.eye(1), "z": n(5, 1)},
    ),
    "onehot": ("sum(one_hot(k, 4) * W)", {"k": np.array([0, 2, 1]), "W": n(3, 4)}),
    "xent": ("cross_entropy(x, k)", {"x": n(3, 4), "k": np.array([0, 2, 1])}),
    "big_reduce": ("sum(mean(x, axis=(0, 2))*w)", {"x": n(3, 4, 5), "w": n(4)}),
    "triu": ("sum(triu(A) @ tril(B)) + sum(kron(A, B)[0])", {"A": n(3, 3), "B": n(3, 3)}),
    "unique_order": ("sum(cummax(x)[0]*y) + sum(diff(x)*2) + argmin(x)*y[0]", {"x": n(6), "y": n(6)}),
    "logistic_grid": (
        "sum(meshgrid(x, y)[0]*2) + sum(linspace(0, 1, 5)*z)",
        {"x": n(2), "y": n(3), "z": n(5)},
    ),
    "poly": ("polyval(c, x) + sum(vander(c, 3))", {"c": n(4), "x": 0.7}),
    "trapz": ("trapezoid(y, x) + sum(gradient(y))", {"y": n(6), "x": np.linspace(0, 1, 6)}),
    "large_alloc": ("s = zeros(3000)\nfor i in range(3):\n    s = sin(s + x)\nsum(s)", {"x": n(3000)}),
    "rnn_stack": (
        "def step(h, x):\n    h = tanh(W @ h + x)\n    return h, h\nh, hs = scan(step, h0, xs)\nsum(hs**2) + sum(h)",
        {"W": n(3, 3), "h0": n(3), "xs": n(6, 3)},
    ),
    "rev": (
        "def step(h, x):\n    h = h*0.5 + x\n    return h, h*h\nh, hs = scan(step, h0, xs, reverse=True)\nsum(hs**2) + h",
        {"h0": 0.3, "xs": n(6)},
    ),
    "ints": ("n*x + (n // 2)*x + (n % 3)*x + maximum(n, 2)*x + n**3*x", {"n": np.int64(-7), "x": 0.5}),
    "intarr": (
        "sum(k*x) + sum((k // 2)*x) + sum(where(k > 1, k, 0)*x) + max(k)*x[0] + sum(sort(k)*x)",
        {"k": np.array([3, -1, 2]), "x": n(3)},
    ),
}
