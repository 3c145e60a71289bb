"""Bessel functions of integer order (J, Y) and of real order (I, K). DLMF 10."""

from __future__ import annotations

from math import cos, exp, fabs, floor, lgamma, log, sin, sinh, sqrt

INF = float("inf")


def bessel_phase(n: int, x: float, second: bool) -> float:
    """J_n(x), or Y_n(x), for large x: Hankel's expansion. DLMF 10.17.3, 10.17.4."""
    mu = 4.0 * float(n) * float(n)
    p = 1.0
    q = 0.0
    term = 1.0
    k = 1.0
    while k < 60.0:
        last = fabs(term)
        term *= (mu - (2.0 * k - 1.0) * (2.0 * k - 1.0)) / (k * 8.0 * x)
        if fabs(term) >= last and k > float(n):
            break
        turn = k - 4.0 * floor(0.25 * k)
        if turn == 1.0:
            q += term
        if turn == 2.0:
            p -= term
        if turn == 3.0:
            q -= term
        if turn == 0.0:
            p += term
        if fabs(term) < 1e-18:
            break
        k += 1.0
    # cos and sin of x - n pi / 2 - pi / 4, from those of x.
    s = sin(x)
    c = cos(x)
    low = 0.7071067811865476 * (c + s)
    high = 0.7071067811865476 * (s - c)
    m = float(n) - 4.0 * floor(0.25 * float(n))
    cosine = low if m == 0.0 else high if m == 1.0 else -low if m == 2.0 else -high
    sine = high if m == 0.0 else -low if m == 1.0 else -high if m == 2.0 else low
    scale = sqrt(0.6366197723675814 / x)
    return scale * (p * sine + q * cosine) if second else scale * (p * cosine - q * sine)


def bessel_miller(n: int, x: float, what: int) -> float:
    """By backward recurrence: J_n(x) for `what` 0, Y_0(x) for 1, Y_1(x) for 2. DLMF 3.6, 10.12.4; A&S 9.1.88, 9.1.89."""
    top = float(n) if float(n) > x else x
    start = 2 * int(0.5 * (top + 18.0 + 6.0 * sqrt(top + 4.0))) + 2
    above = 0.0
    here = 1e-300
    wanted = 0.0
    norm = 0.0
    even = 0.0
    odd = 0.0
    one = 0.0
    for k in range(start, 0, -1):
        below = 2.0 * float(k) / x * here - above
        above = here
        here = below
        # here is J_(k-1), above J_k
        m = float(k - 1)
        if k - 1 == n:
            wanted = here
        if k == 2:
            one = here
        half = floor(0.5 * m)
        flip = 1.0 if floor(0.5 * half) * 2.0 == half else -1.0
        if 2.0 * half == m:
            if m > 0.0:
                norm += 2.0 * here
                even += flip * here / half
        elif m > 1.0:
            odd += flip * (2.0 * half + 1.0) / (half * (half + 1.0)) * here
        if fabs(here) > 1e200:
            here *= 1e-200
            above *= 1e-200
            wanted *= 1e-200
            norm *= 1e-200
            even *= 1e-200
            odd *= 1e-200
            one *= 1e-200
    norm += here
    if what == 0:
        return wanted / norm
    gamma = log(0.5 * x) + 0.5772156649015329
    if what == 1:
        return 0.6366197723675814 * (gamma * here - 2.0 * even) / norm
    return 0.6366197723675814 * ((gamma - 1.0) * one - odd - here / x) / norm


def bessel_j(n: int, x: float) -> float:
    """J_n(x) for an integer n."""
    order = -n if n < 0 else n
    odd = floor(0.5 * float(order)) * 2.0 != float(order)
    flip = -1.0 if odd and (x < 0.0) != (n < 0) else 1.0
    size = fabs(x)
    if size == 0.0:
        return 1.0 if order == 0 else 0.0
    if size == INF:
        return 0.0
    if size < 1e-5 and size > 0.0:
        y = 1.0 - 0.25 * size * size / (float(order) + 1.0)
        for k in range(1, order + 1):
            y *= 0.5 * size / float(k)
        return flip * y
    if size != size:
        return size
    if size > 30.0 + 0.5 * float(order) * float(order):
        return flip * bessel_phase(order, size, False)
    return flip * bessel_miller(order, size, 0)


def bessel_y(n: int, x: float) -> float:
    """Y_n(x) for an integer n: upward from Y_0 and Y_1; -infinity at 0, NaN left of it."""
    order = -n if n < 0 else n
    flip = -1.0 if n < 0 and floor(0.5 * float(order)) * 2.0 != float(order) else 1.0
    if not x > 0.0:
        return -INF if x == 0.0 else (x - x) / (x - x)
    if x == INF:
        return 0.0
    far = x > 30.0
    zero = bessel_phase(0, x, True) if far else bessel_miller(0, x, 1)
    if order == 0:
        return zero
    here = bessel_phase(1, x, True) if far else bessel_miller(0, x, 2)
    before = zero
    for k in range(1, order):
        after = 2.0 * float(k) / x * here - before
        before = here
        here = after
    return flip * here


def bessel_i_scaled(v: float, x: float) -> float:
    """exp(-x) I_v(x) for x > 0 and v >= 0: the power series, far out the asymptotic one. DLMF 10.25.2, 10.40.1."""
    if x > 40.0 and x > 0.25 * v * v:
        term = 1.0
        total = 1.0
        k = 1.0
        while k < 40.0:
            odd = 2.0 * k - 1.0
            last = fabs(term)
            term *= -(4.0 * v * v - odd * odd) / (8.0 * k * x)
            if fabs(term) > last or fabs(term) < 1e-17 * total:
                break
            total += term
            k += 1.0
        return total / sqrt(6.283185307179586 * x)
    u = 0.25 * x * x
    term = 1.0
    total = 1.0
    k = 1.0
    while term > 1e-17 * total and k < 3000.0:
        term *= u / (k * (k + v))
        total += term
        k += 1.0
    if v == floor(v) and v < 60.0:
        power = exp(-x)
        j = 1.0
        while j <= v:
            power *= 0.5 * x / j
            j += 1.0
        return power * total
    return exp(v * log(0.5 * x) - x - lgamma(v + 1.0)) * total


def bessel_i(v: float, x: float, scaled: bool) -> float:
    """I_v(x), or exp(-|x|) I_v(x), for an integer v or for v >= 0 and x >= 0."""
    order = fabs(v)
    size = fabs(x)
    if size != size:
        return size
    if x < 0.0 and v != floor(v):
        return (size - size) / (size - size)
    if size == 0.0:
        return 1.0 if order == 0.0 else 0.0
    if size == INF and scaled:
        return 0.0
    flip = -1.0 if x < 0.0 and floor(0.5 * order) * 2.0 != order else 1.0
    y = INF if size == INF else bessel_i_scaled(order, size)
    if not scaled and size < INF:
        y = y * exp(size) if size < 700.0 else y * exp(0.5 * size) * exp(0.5 * size)
    return flip * y


def bessel_k_scaled(n: int, v: float, x: float) -> float:
    """exp(x) K_v(x), differentiated n times: the integral over (cosh t - 1)^n exp(-x (cosh t - 1)) cosh(v t).

    By the trapezoidal rule, which converges exponentially here. DLMF 10.32.9, 3.5(i).
    """
    h = 0.0625
    if x > 16.0:
        h = 0.25 / sqrt(x)
    total = 0.5 if n == 0 else 0.0
    k = 1.0
    while k < 20000.0:
        t = k * h
        half = sinh(0.5 * t)
        versine = 2.0 * half * half
        term = 0.5 * (exp(v * t - x * versine) + exp(-v * t - x * versine))
        for _ in range(n):
            term *= -versine
        total += term
        if fabs(term) < 1e-18 * fabs(total) and x * versine > 2.0 * v + 1.0:
            break
        k += 1.0
    return total * h


def bessel_k(v: float, x: float, scaled: bool) -> float:
    """K_v(x), or exp(x) K_v(x); infinity at 0, NaN left of it."""
    if not x > 0.0:
        return INF if x == 0.0 else (x - x) / (x - x)
    if x == INF:
        return 0.0
    y = bessel_k_scaled(0, fabs(v), x)
    return y if scaled else y * exp(-x)


def bessel_i_slope(v: float, x: float) -> float:
    """The first derivative of exp(-|x|) I_v(x) for an integer v >= 0."""
    size = fabs(x)
    if size != size:
        return size
    even = floor(0.5 * v) * 2.0 == v
    flip = -1.0 if x < 0.0 and even else 1.0
    if size == 0.0:
        return 0.5 if v == 1.0 else 0.0
    if size > 40.0 and size > 0.25 * v * v:
        term = 1.0
        total = 0.5
        k = 1.0
        while k < 40.0:
            odd = 2.0 * k - 1.0
            last = fabs(term)
            term *= -(4.0 * v * v - odd * odd) / (8.0 * k * size)
            if fabs(term) > last or fabs(term) < 1e-18:
                break
            total += (k + 0.5) * term
            k += 1.0
        return -flip * total / size / sqrt(6.283185307179586 * size)
    mean = 0.5 * (bessel_i_scaled(fabs(v - 1.0), size) + bessel_i_scaled(v + 1.0, size))
    return flip * (mean - bessel_i_scaled(v, size))


def bessel_k_slope(n: int, v: float, x: float) -> float:
    """exp(x) K_v(x) differentiated n times; infinite at 0, NaN left of it."""
    if not x > 0.0:
        return (x - x) / (x - x) if x != 0.0 else INF if int(0.5 * float(n)) * 2 == n else -INF
    return 0.0 if x == INF else bessel_k_scaled(n, v, x)
