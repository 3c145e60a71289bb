"""Derivatives as programs: of any order and mixed, simplified for people, as text, formulas and graphs.

`orders` writes derivatives out as one typed graph; `size` tells how long they are with and without sharing.
"""
