"""The pictures of docs/tutorial.md, as a running server draws them or from what it answers.

    make serve                              in one terminal
    python scripts/pictures.py              in another: writes docs/pictures/
    python scripts/pictures.py --check      says which are not what the server gives (exit code 1)

The server needs Matplotlib and Graphviz. Two runs with the same versions of both give the same bytes.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"

NETWORK = "h1 = relu(w11*x)\nh2 = relu(w12*x)\nout = w21*h1 + w22*h2\nloss = (out - target)**2"
AT = {"x": 0.8, "target": 1.9, "w12": 1.2, "w22": 0.8}
NEURON = "t1 = w * x\nt2 = t1 + b\nt3 = -1 * t2\nt4 = exp(t3)\nt5 = t4 + 1\nt6 = t5**(-1)\nt7 = t6 - target\nt8 = t7**2"

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 560, 320, 62, 44, 16, 12


class Server:
    """A server to be asked."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=60)

    def ask(self, verb: str, body: dict[str, Any]) -> Any:
        """An answer in JSON."""
        return self.http.post(f"/v1/{verb}", json=body).raise_for_status().json()

    def svg(self, verb: str, body: dict[str, Any]) -> str:
        """A drawing."""
        return (
            self.http.post(f"/v1/{verb}", json=body, headers={"Accept": "image/svg+xml"})
            .raise_for_status()
            .text
        )


def landscape(server: Server) -> str:
    """The loss over two weights, and the way that gradient descent takes on it."""
    start = {"w11": 2.6, "w21": -2.4}
    descent = {
        "expression": NETWORK, "inputs": AT | start, "wrt": list(start), "method": "gd", "record": True,
        "options": {"learning_rate": 0.02, "max_iterations": 200},
    }  # fmt: skip
    path = [entry["point"] for entry in server.ask("minimize", descent)["history"]]
    axes = [
        {"input": "w11", "start": 0, "stop": 3.5, "num": 101},
        {"input": "w21", "start": -3.5, "stop": 3.5, "num": 101},
    ]
    return server.svg("landscape", {"expression": NETWORK, "inputs": AT, "axes": axes, "path": path})


def neuron(server: Server) -> str:
    """The graph of a neuron and its loss, with values and gradients."""
    at = {"w": 2, "x": 1, "b": 0, "target": 10}
    return server.svg("render", {"expression": NEURON, "inputs": at, "format": "svg"})


def error_curve(server: Server) -> str:
    """Errors of forward and central differences for x³ at 1, over the step."""
    answer = server.ask("check", {"expression": "x*x*x", "inputs": {"x": 1}})
    curve = answer["inputs"]["x"]["curve"]
    lines = [
        (name, colour, [(point["h"], point[f"{name}_error"]) for point in curve])
        for name, colour in (("forward", "#c4481f"), ("central", "#0b62a8"))
    ]
    return _log_log(lines, "step h", "absolute error")


def _log_log(lines: Sequence[tuple[str, str, list[tuple[float, Any]]]], across: str, up: str) -> str:
    """Lines over logarithmic axes, from 10⁻¹⁶ to 10⁰ and from 10⁻¹² to 10¹; what is 0 or not finite is left out."""

    def x(h: float) -> float:
        return LEFT + (math.log10(h) + 16) / 16 * (WIDTH - LEFT - RIGHT)

    def y(error: float) -> float:
        return TOP + (1 - math.log10(error)) / 13 * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#24292f">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for k in range(-16, 1, 2):
        parts.append(_line(x(10.0**k), y(1e-12), x(10.0**k), y(10.0)))
        parts.append(_text(x(10.0**k), HEIGHT - BOTTOM + 18, f"10{_power(k)}", "middle"))
    for k in range(-12, 2, 2):
        parts.append(_line(x(1e-16), y(10.0**k), x(1.0), y(10.0**k)))
        parts.append(_text(LEFT - 8, y(10.0**k) + 4, f"10{_power(k)}", "end"))
    for k, (name, colour, points) in enumerate(lines):
        shown = [(h, e) for h, e in points if isinstance(e, float) and 1e-12 <= e <= 10]
        places = " ".join(f"{x(h):.1f},{y(e):.1f}" for h, e in shown)
        parts.append(f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        parts += [f'<circle cx="{x(h):.1f}" cy="{y(e):.1f}" r="2.2" fill="{colour}"/>' for h, e in shown]
        parts.append(
            f'<g fill="{colour}">{_text(x(10.0**-15.5), y(10.0**-10.2) + 18 * k, name, "start")}</g>'
        )
    parts.append(_text((LEFT + WIDTH) / 2, HEIGHT - 6, across, "middle"))
    parts.append(f'<g transform="rotate(-90 14 {HEIGHT / 2:.1f})">{_text(14, HEIGHT / 2, up, "middle")}</g>')
    return "\n".join([*parts, "</svg>\n"])


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="#d0d7de" stroke-width="0.8"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _power(k: int) -> str:
    return "".join("⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".index(c)] for c in str(k))


DRAWN: dict[str, Callable[[Server], str]] = {
    "landscape.svg": landscape,
    "error-curve.svg": error_curve,
    "neuron.svg": neuron,
}


def same(name: str, kept: str, new: str) -> bool:
    """Whether two pictures are one. Versions of Graphviz differ in places; what is written in the drawing does not."""
    if name == "neuron.svg":
        return sorted(re.findall(r"<text[^>]*>([^<]*)</text>", kept)) == sorted(
            re.findall(r"<text[^>]*>([^<]*)</text>", new)
        )
    return kept == new


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="compare with what is there, and write nothing")
    options = parser.parse_args()
    server = Server(options.url)
    wrong = []
    for name, draw in DRAWN.items():
        picture, path = draw(server), FOLDER / name
        if options.check:
            if not path.exists() or not same(name, path.read_text(encoding="utf-8"), picture):
                wrong.append(name)
        else:
            path.write_text(picture, encoding="utf-8")
    if wrong:
        print(
            f"{', '.join(wrong)} in docs/pictures: not what the server gives today; run scripts/pictures.py"
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
