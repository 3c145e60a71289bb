"""Bundle adjustment: ADBench's smallest instance (49 cameras, 7,776 points, 31,843 observations), its sparse Jacobian."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.ours import Prepared, page
from benchmarks.row import OURS, Case

CAMERA = [
    -0.758453, -1.109613, -0.845551, 34.556073, 39.676747, 53.881673, 419.194514, 5.864426, -8.518870, 0.087812, 0.002739,
]  # fmt: skip
POINT, WEIGHT, FEATURE = [7.203245, 0.001144, 3.023326], 0.417022, [271.760969, 834.209256]
"""GradBench repeats these; here each copy is moved a little, so that no two are alike."""
INPUTS = ("cams", "X", "w")


def adjustment(quick: bool) -> Case:
    """Residuals' Jacobian by cameras, points and weights, as its structural nonzeros."""
    n, m, p = (3, 20, 40) if quick else (49, 7_776, 31_843)
    sets = [data(n, m, p, seed) for seed in (0, 1)]
    text = page()["Bundle adjustment"]
    ours = Prepared("jacobian", text, sets, wrt=INPUTS, nodes="none", sparse=True)

    def read(answer: Any) -> Any:
        errors, weights = answer["jacobian"]["reproj_err"], answer["jacobian"]["w_err"]
        return [errors["cams"]["data"], errors["X"]["data"], errors["w"]["data"], weights["w"]["data"]]

    def nonzeros(answer: Any) -> Any:
        # The principal point moves each coordinate by itself: of the eleven of a camera, ten are structural nonzeros.
        cams, *others = peers.numpy_of(answer)
        kept = np.ones((2, 11), bool)
        kept[0, 8] = kept[1, 7] = False
        return [cams[:, kept], *others]

    again = f"{OURS}, with preparing"
    return Case(
        f"BA, {p:,} observations",
        {OURS: ours.run, "JAX": jax(sets), "PyTorch": torch(sets)},
        1e-8,
        answers={OURS: read, again: read, "JAX": nonzeros, "PyTorch": nonzeros},
        also={again: ours.again},
    )


def data(n: int, m: int, p: int, seed: int) -> dict[str, np.ndarray]:
    """Observation i: camera i mod n sees point i mod m."""
    rng = np.random.default_rng(seed)

    def moved(one: Any, count: int) -> np.ndarray:
        shape = (count, len(one)) if isinstance(one, list) else (count,)
        return np.asarray(one) * (1 + 1e-2 * rng.normal(size=shape))

    return {
        "cams": moved(CAMERA, n), "X": moved(POINT, m), "w": moved(WEIGHT, p), "feats": moved(FEATURE, p),
        "camera": np.arange(p) % n, "point": np.arange(p) % m,
    }  # fmt: skip


def projected(n: Any, cross: Any, stack: Any, cam: Any, P: Any, weight: Any, feat: Any) -> Any:
    """One observation's error, with the functions of a module. The rotations here are never zero."""
    r, P = cam[0:3], P - cam[3:6]
    theta = n.sqrt((r * r).sum())
    a = r / theta
    P = P * n.cos(theta) + cross(a, P) * n.sin(theta) + a * (a * P).sum() * (1 - n.cos(theta))
    u = P[0:2] / P[2]
    s = (u * u).sum()
    return weight * (u * (1 + cam[9] * s + cam[10] * s * s) * cam[6] + cam[7:9] - feat)


def jax(sets: list[dict[str, np.ndarray]]) -> Any:
    """vmap of one observation's Jacobian; its blocks are the nonzeros."""
    j = peers.jax()
    n = j.numpy

    def whole(cams: Any, X: Any, w: Any, feats: Any, camera: Any, point: Any) -> Any:
        def error(cam: Any, P: Any, weight: Any, feat: Any) -> Any:
            return projected(n, n.cross, n.stack, cam, P, weight, feat)

        blocks = j.vmap(j.jacrev(error, argnums=(0, 1, 2)))(cams[camera], X[point], w, feats)
        return [*blocks, -2 * w]

    return peers.jax_side(whole, [list(d.values()) for d in sets])


def torch(sets: list[dict[str, np.ndarray]]) -> Any:
    """The same with torch.func."""
    t = peers.torch()
    tensors = [[t.from_numpy(a) for a in d.values()] for d in sets]

    def error(cam: Any, P: Any, weight: Any, feat: Any) -> Any:
        return projected(t, t.linalg.cross, t.stack, cam, P, weight, feat)

    blocks = t.func.vmap(t.func.jacrev(error, argnums=(0, 1, 2)))

    def side(k: int) -> Any:
        cams, X, w, feats, camera, point = tensors[k % len(tensors)]
        return [*blocks(cams[camera], X[point], w, feats), -2 * w]

    return side
