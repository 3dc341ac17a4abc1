"""What a message shows of what users gave and components said: never more than can be read."""

from __future__ import annotations

from typing import Any

from htinvert.core import EvaluationFailed, Interrupted, UserError

LONGEST_VALUE = 80  # characters of a given value, or of a key
LONGEST_LINE = 400  # characters of a whole message
LONGEST_REASON = 2000  # of why an evaluation failed, as a run keeps it


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


def no_element(symbol: str) -> str:
    """A sentence on a symbol that is none.

    >>> no_element("D")
    'D is no chemical element but an isotope of hydrogen; write H'
    """
    if symbol in ("D", "T"):
        return f"{symbol} is no chemical element but an isotope of hydrogen; write H"
    if symbol == "X":
        return "X is no chemical element but a place holder; name the element, or leave it out"
    return f"{symbol} is no chemical element; write symbols like Cd or Te"


def reason(error: BaseException) -> str:
    """Kind and message of an exception, or the message alone where it is a sentence of ours.

    One clean line of at most :data:`LONGEST_REASON` characters, also where the exception cannot
    say what it means.
    """
    try:
        words = " ".join(str(error).split())
    except Interrupted:
        raise
    except BaseException as second:  # a component may raise anything, and its __str__ as well
        words = f"it cannot say why, because that raises {type(second).__name__}"
    kind = type(error).__name__
    if isinstance(error, EvaluationFailed | UserError) and words:
        return shortened(words, LONGEST_REASON)
    return shortened(f"{kind}: {words}" if words else kind, LONGEST_REASON)


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
