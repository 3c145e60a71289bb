"""Bodies for `POST /v1/minimize`, with their answers where these are short."""

from __future__ import annotations

from service.examples.basic import PRODUCT
from service.examples.example import Example

EXAMPLES: tuple[Example, ...] = (Example("product", "The first example", PRODUCT),)
