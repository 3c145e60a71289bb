"""The HTTP service: validation, admission, encoding and documentation around the engine."""

__version__ = "0.1.0"
