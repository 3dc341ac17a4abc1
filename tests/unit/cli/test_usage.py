"""What was typed wrongly is answered in a sentence, whatever the command."""

from __future__ import annotations

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from htinvert.cli import app
from htinvert.core import UserError

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
NEEDING = [name for name in COMMANDS if any(part.required for part in COMMANDS[name].params)]


def said(*words: str) -> str:
    """The one sentence that the program would print, before it ends with code 2."""
    result = CliRunner().invoke(app, list(words))
    assert isinstance(result.exception, UserError) and result.exception.code == 2, result
    assert result.output == "" and "\n" not in str(result.exception)
    return str(result.exception)


@pytest.mark.parametrize("name", NEEDING)
def test_all_that_a_command_still_needs_is_named(name: str) -> None:
    text = said(name)
    assert text.startswith(f"{name} needs ") and f"`htinvert {name} " in text
    for part in COMMANDS[name].params:
        if part.required:
            named = part.opts[0] if part.param_type_name == "option" else part.name.upper()
            assert f"{named} (" in text
    assert "\\[" not in text


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_that_there_is_none_of_is_named(name: str) -> None:
    assert said(name, "--nonsense").startswith(f"{name} has no option --nonsense; ")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("chek x.yaml", "there is no command chek; did you mean check?"),
        ("frobnicate", "there is no command frobnicate; `htinvert --help` lists all"),
        ("x.yaml", "there is no command x.yaml; did you mean `htinvert run x.yaml`?"),
        ("--frob", "htinvert has no option --frob; `htinvert --help` lists what it takes"),
        ("run x.yaml --wrkers 2", "run has no option --wrkers; did you mean --workers?"),
        ("run x.yaml --workers", "--workers needs a value after it; `htinvert run --help`"),
        ("run x.yaml --workers two", "--workers: give a whole number (given: two); `htinvert run"),
        ("run x.yaml --more 0", "--more: give 1 or more (given: 0); `htinvert run --help`"),
        ("run x.yaml y.yaml", "run takes no further word: y.yaml; put names with blanks in"),
        ("run --quiet=3 x.yaml", "--quiet takes no value; `htinvert run --help`"),
        ("calibrate x.npy --phase Si", "calibrate needs --zone (zone axis toward the viewer, "),
    ],
)
def test_what_was_typed_wrongly_is_said_in_a_sentence(line: str, answer: str) -> None:
    assert said(*line.split()).startswith(answer)


def test_no_word_at_all_shows_the_commands() -> None:
    result = CliRunner().invoke(app, [])
    assert "Campaigns" in result.output and not isinstance(result.exception, UserError)
