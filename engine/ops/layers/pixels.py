"""Blocks of pixels to channels and back: pixel_shuffle as PyTorch has it, DepthToSpace and SpaceToDepth as ONNX has them."""

from __future__ import annotations

from typing import Any

from engine.attrs import INT, at_least, one_of
from engine.builder import Builder, Var
from engine.errors import ShapeMismatch
from engine.op import Attr, Example, Op, Operand, registry
from engine.ops.index.gather import reshaped
from engine.ops.layers.spatial import ramp
from engine.ops.layout.arrange import permuted

BLOCK = at_least(1, INT)


class _Blocks(Op):
    family = "nn"
    composite = True
    passes_integers = True
    derivative = {"input": "1"}

    def spread(self, x: Var, r: int, *, block_first: bool) -> Var:
        """[*lead, C·r², H, W] to [*lead, C, H·r, W·r]; the block's axes stand before or behind those of C."""
        if x.rank < 3 or x.shape[-3] % (r * r):
            raise ShapeMismatch(
                f"{self.name}: input must have the shape [*lead, channels, height, width], the channels a multiple of "
                f"{r}² = {r * r}; its shape is {list(x.shape)}."
            )
        *lead, c, h, w = x.shape
        n, c = len(lead), c // (r * r)
        parts = reshaped(x, (*lead, r, r, c, h, w) if block_first else (*lead, c, r, r, h, w))
        i, j, k = (n, n + 1, n + 2) if block_first else (n + 1, n + 2, n)
        turned = permuted(parts, [*range(n), k, n + 3, i, n + 4, j])
        return reshaped(turned, (*lead, c, h * r, w * r))

    def gathered(self, x: Var, r: int, *, block_first: bool) -> Var:
        """[*lead, C, H·r, W·r] to [*lead, C·r², H, W]."""
        if x.rank < 3 or x.shape[-2] % r or x.shape[-1] % r:
            raise ShapeMismatch(
                f"{self.name}: input must have the shape [*lead, channels, height, width], height and width multiples of "
                f"{r}; its shape is {list(x.shape)}."
            )
        *lead, c, h, w = x.shape
        n, h, w = len(lead), h // r, w // r
        parts = reshaped(x, (*lead, c, h, r, w, r))
        order = [n + 2, n + 4, n] if block_first else [n, n + 2, n + 4]
        return reshaped(permuted(parts, [*range(n), *order, n + 1, n + 3]), (*lead, c * r * r, h, w))


class PixelShuffle(_Blocks):
    """Channels to blocks of pixels: input [*lead, C·r², H, W] to [*lead, C, H·r, W·r], as PyTorch's `pixel_shuffle`."""

    name = "pixel_shuffle"
    parameters = (Operand("input", ("x",)), Attr("upscale_factor", BLOCK))
    latex = "{input}"
    examples = (
        Example((ramp(1, 8, 2, 1),), {"upscale_factor": 2}),
        Example((ramp(9, 1, 1),), {"upscale_factor": 3}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A permutation."""
        return self.spread(operands[0], attrs["upscale_factor"], block_first=False)


class PixelUnshuffle(_Blocks):
    """Blocks of pixels to channels: input [*lead, C, H·r, W·r] to [*lead, C·r², H, W], as PyTorch's `pixel_unshuffle`."""

    name = "pixel_unshuffle"
    parameters = (Operand("input", ("x",)), Attr("downscale_factor", BLOCK))
    latex = "{input}"
    examples = (
        Example((ramp(1, 2, 4, 2),), {"downscale_factor": 2}),
        Example((ramp(1, 3, 6),), {"downscale_factor": 3}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A permutation."""
        return self.gathered(operands[0], attrs["downscale_factor"], block_first=False)


class DepthToSpace(_Blocks):
    """Channels to blocks of pixels, as ONNX's DepthToSpace: input [*lead, C·r², H, W] to [*lead, C, H·r, W·r].

    In mode DCR the block's axes stand before those of C in the channels, in mode CRD behind them (as in `pixel_shuffle`).
    """

    name = "depth_to_space"
    aliases = ("DepthToSpace",)
    parameters = (
        Operand("input", ("x",)),
        Attr("blocksize", BLOCK, aliases=("block_size",)),
        Attr("mode", one_of("DCR", "CRD"), "DCR"),
    )
    latex = "{input}"
    examples = (
        Example((ramp(1, 8, 2, 1),), {"blocksize": 2}),
        Example((ramp(1, 8, 1, 2),), {"blocksize": 2, "mode": "CRD"}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A permutation."""
        return self.spread(operands[0], attrs["blocksize"], block_first=attrs["mode"] == "DCR")


class SpaceToDepth(_Blocks):
    """Blocks of pixels to channels, as ONNX's SpaceToDepth: the inverse of `depth_to_space` in the same mode."""

    name = "space_to_depth"
    aliases = ("SpaceToDepth",)
    parameters = DepthToSpace.parameters
    latex = "{input}"
    examples = (
        Example((ramp(1, 2, 4, 2),), {"blocksize": 2}),
        Example((ramp(1, 2, 2, 4),), {"blocksize": 2, "mode": "CRD"}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A permutation."""
        return self.gathered(operands[0], attrs["blocksize"], block_first=attrs["mode"] == "DCR")


for _op in (PixelShuffle(), PixelUnshuffle(), DepthToSpace(), SpaceToDepth()):
    registry.add(_op)
