"""What was typed wrongly, in a sentence: a word left out, one too many, one that is not known.

typer answers these with a usage line and a box; everywhere else a mistake is one sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from htinvert.core import UserError
from htinvert.declaration.schema_words import wanted

EXAMPLE = re.compile(r"^\s*Example: (htinvert .+)$", re.MULTILINE)
FILES = (".yaml", ".yml")


@contextmanager
def in_a_sentence(context: Any = None) -> Iterator[None]:
    """Raise :class:`UserError` in place of typer's errors of usage; help that was asked for stays.

    They are known by what they can do, because typer brings them from click or has its own.
    """
    try:
        yield
    except Exception as error:
        if not hasattr(error, "format_message") or type(error).__name__ == "NoArgsIsHelpError":
            raise
        raise UserError(_sentence(error, getattr(error, "ctx", None) or context)) from None


def unknown_command(word: str, known: Sequence[str]) -> UserError:
    """What to say of a first word that is no command; of a file, that a command comes first."""
    if word.endswith(FILES):
        return UserError(f"there is no command {word}; did you mean `htinvert run {word}`?")
    close = get_close_matches(word, known, n=1, cutoff=0.65)
    meant = f"did you mean {close[0]}?" if close else "`htinvert --help` lists all"
    return UserError(f"there is no command {word}; {meant}")


def _sentence(error: Any, context: Any) -> str:
    name = context.info_name if getattr(context, "parent", None) else None
    name = name or getattr(context, "invoked_subcommand", None) or ""
    see = f"`{f'htinvert {name}'.strip()} --help` lists what it takes"
    name = name or "htinvert"
    kind, said = type(error).__name__, str(error.format_message()).rstrip(". ")
    if kind == "MissingParameter" and context is not None:
        return f"{name} needs {_missing(error, context)}"
    if kind == "NoSuchOption":
        close = sorted(error.possibilities or ())
        return f"{name} has no option {error.option_name}; " + (
            f"did you mean {close[0]}?" if close else see
        )
    if kind == "BadOptionUsage":
        verb = "takes no value" if "not take a value" in said else "needs a value after it"
        return f"{error.option_name} {verb}; {see}"
    if kind == "BadParameter" and error.param is not None:
        return f"{_name(error.param)}: {_value(error)}; {see}"
    if extra := re.search(r"unexpected extra arguments?\S* \((.+)\)", said):
        return f"{name} takes no further word: {extra[1]}; put names with blanks in quotes, {see}"
    return f"{said}; {see}"


def _missing(error: Any, context: Any) -> str:
    """All that is still to be given, and the example of the command's help."""
    needed = [
        part
        for part in context.command.params
        if part is error.param or (part.required and part.name not in context.params)
    ]
    texts = [f"{_name(part)} ({_about(part)})" if _about(part) else _name(part) for part in needed]
    what = " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))
    example = EXAMPLE.search(_plain(context.command.help))
    return what + (f", as in `{example[1]}`" if example else "")


def _name(part: Any) -> str:
    """An option by its dashes, an argument as a word that stands for what is to be given."""
    return str(part.opts[0] if part.param_type_name == "option" else part.name.upper())


def _about(part: Any) -> str:
    text = _plain(getattr(part, "help", None)).rstrip(".")
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def _plain(text: str | None) -> str:
    """A help text without the marks that keep its brackets from being read as markup."""
    return (text or "").replace("\\[", "[")


def _value(error: Any) -> str:
    """What a value should have been, and what was given; typer checks it by pydantic, or click."""
    errors: list[Any] = getattr(error.__cause__, "errors", list)()
    what = wanted(errors[0]) if errors else ""
    return f"give {what} (given: {errors[0]['input']})" if what else str(error.message).rstrip(".")
