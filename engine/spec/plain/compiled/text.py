"""What is in JSON text, natively. Every read is checked against the end of the bytes; behind it stands, as it were, a zero,
which is part of no JSON text."""

from __future__ import annotations

from typing import Any

from engine.spec.plain.compiled.jit import helper

QUOTE, COMMA, COLON, BACKSLASH = 34, 44, 58, 92
OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT = 91, 93, 123, 125
MAX_NAME = 256
"""Longest id in bytes; the general reader counts code points, and has the longer ones."""


@helper
def at(s: Any, i: Any) -> Any:
    """The byte at i; 0 behind the end."""
    return s[i] if i < len(s) else 0


@helper
def blank(s: Any, i: Any) -> Any:
    """The position of the first byte from i on that is no white space."""
    n = len(s)
    while i < n and (s[i] == 32 or s[i] == 10 or s[i] == 13 or s[i] == 9):
        i += 1
    return i


@helper
def name_end(s: Any, i: Any) -> Any:
    """The closing quote of a string that starts at s[i] and may be an id; −1 if it has an escape, a control character
    (C0, DEL, C1), no end, no content, or too much of it."""
    n = len(s)
    if i >= n or s[i] != QUOTE:
        return -1
    start = i + 1
    i = start
    while i < n:
        c = s[i]
        if c == QUOTE:
            return i if 0 < i - start <= MAX_NAME else -1
        if c < 32 or c == BACKSLASH or c == 127 or (c == 0xC2 and at(s, i + 1) < 0xA0):
            return -1
        i += 1
    return -1


@helper
def same(s: Any, a: Any, t: Any, b: Any, count: Any) -> Any:
    """Whether `count` bytes of s from a on are those of t from b on. Both ranges are inside."""
    for k in range(count):  # noqa: SIM110  # compiled code has no all(…)
        if s[a + k] != t[b + k]:
            return False
    return True


@helper
def skip(s: Any, i: Any) -> Any:
    """The position behind the JSON value that starts at s[i], if there is one; −1 where the text ends inside it.

    Only strings and brackets are looked at: the rest of a request is read again by the JSON parser, which finds what is
    wrong with it.
    """
    n = len(s)
    depth = 0
    while i < n:
        c = s[i]
        if c == QUOTE:
            i += 1
            while i < n and s[i] != QUOTE:
                i += 2 if s[i] == BACKSLASH else 1
            if i >= n:
                return -1
            if depth == 0:
                return i + 1
        elif c in (OPEN_LIST, OPEN_OBJECT):
            depth += 1
        elif c in (CLOSE_LIST, CLOSE_OBJECT):
            depth -= 1
            if depth == 0:
                return i + 1
            if depth < 0:
                return i
        elif depth == 0 and (c in (COMMA, COLON) or c <= 32):
            return i
        i += 1
    return i if depth == 0 else -1


@helper
def utf8(s: Any) -> Any:
    """Whether the bytes are UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF)."""
    n = len(s)
    i = 0
    while i < n:
        c = s[i]
        i += 1
        if c < 0x80:
            continue
        low, high = 0x80, 0xBF
        if 0xC2 <= c <= 0xDF:
            more = 1
        elif 0xE0 <= c <= 0xEF:
            more = 2
            if c == 0xE0:
                low = 0xA0
            elif c == 0xED:
                high = 0x9F
        elif 0xF0 <= c <= 0xF4:
            more = 3
            if c == 0xF0:
                low = 0x90
            elif c == 0xF4:
                high = 0x8F
        else:
            return False
        for _ in range(more):
            if i >= n or not low <= s[i] <= high:
                return False
            low, high = 0x80, 0xBF
            i += 1
    return True
