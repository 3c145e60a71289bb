"""Shapes, order, joining and making of arrays."""
