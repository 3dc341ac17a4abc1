"""What a message shows of values that a user gave: never more than can be read at a glance."""

from __future__ import annotations

from typing import Any

LONGEST_VALUE = 80  # characters of a given value, or of a key
LONGEST_LINE = 400  # characters of a whole message


def shortened(text: str, most: int = LONGEST_LINE) -> str:
    """A text on one line of at most ``most`` characters, with an ellipsis for its middle.

    Beginning and end stay, for a message says at its end what to do. What cannot be printed, such
    as a control character, is escaped.

    >>> shortened("a" * 50 + "b" * 50, 9)
    'aaaaaa…bb'
    """
    text = "".join(
        map(_printable, text[: 4 * most] + text[-most:] if len(text) > 5 * most else text)
    )
    if len(text) <= most:
        return text
    tail = (most - 1) // 4
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def _printable(letter: str) -> str:
    if letter.isprintable():
        return letter
    return " " if letter.isspace() else letter.encode("unicode_escape").decode()


def shown(value: Any) -> str:
    """A value as Python writes it, shortened; a number too long to be written is called that."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of more than 4300 digits
        text = f"a {type(value).__name__} too long to be written"
    return shortened(text, LONGEST_VALUE)
