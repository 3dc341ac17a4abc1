"""What the command line prints is what was written: brackets are no markup anywhere."""

from __future__ import annotations

import ast
import io
import re
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from typer.main import get_command
from typer.testing import CliRunner

import htinvert as ht
from htinvert.campaign.progress import Progress
from htinvert.cli import app
from htinvert.report.live import Live
from htinvert.report.terminal import counted_bar, spinner, terminal, working

ROOT = Path(__file__).resolve().parents[3] / "htinvert"
SOURCES = [
    path for room in ("cli", "report", "watch") for path in sorted((ROOT / room).rglob("*.py"))
]
BRACKETS = re.compile(r"\[[^\[\]]+\]")


def help_texts() -> list[str]:
    """Every help string and docstring of the commands, as it stands in the source."""
    texts = []
    for path in sorted((ROOT / "cli").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "help":
                texts.append(ast.literal_eval(node.value))
            elif isinstance(node, ast.FunctionDef) and node.decorator_list:
                texts.append(ast.get_docstring(node) or "")
    return texts


def test_the_help_pages_print_every_bracket() -> None:
    written = {piece for text in help_texts() for piece in BRACKETS.findall(text)}
    assert {"[eV]", "[px]", "[runs/NAME]", "[powell]"} <= written
    runner = CliRunner(env={"TERMINAL_WIDTH": "200", "COLUMNS": "200"})
    names = list(get_command(app).commands)  # type: ignore[attr-defined]
    pages = [runner.invoke(app, [name, "--help"]).stdout for name in names]
    assert len(pages) > 15
    assert [piece for piece in sorted(written) if not any(piece in page for page in pages)] == []


def test_the_program_says_its_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"htinvert {ht.__version__}\n"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_printed_as_markup(path: Path) -> None:
    """Consoles, bars and spinners come from report/terminal.py, which makes them without markup."""
    if path.name == "terminal.py":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        )
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        assert name not in {"Console", "from_markup", "status", "Spinner"}, ast.unparse(node)
        assert given.get("markup") in (None, "False"), ast.unparse(node)
        if name == "TextColumn":
            assert given.get("markup") == "False", ast.unparse(node)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A terminal of 100 letters that can be read."""
    console = terminal()
    console.file = io.StringIO()
    console.width = 100
    return console


PATH = "[/some/path] [eV] [bold]"


def test_names_and_reasons_are_printed_as_they_are(screen: Any) -> None:
    from rich.table import Table

    screen.print(f"failed: {PATH}")
    table = Table(title=PATH, caption=PATH)
    table.add_column(PATH)
    table.add_row(PATH)
    screen.print(table)
    with spinner(screen, PATH):
        pass
    with counted_bar(screen, transient=False) as bar:
        bar.add_task(PATH, total=1)
    assert screen.file.getvalue().count("[/some/path] [eV]") == 6


def test_a_campaign_in_a_folder_with_brackets_shows_its_progress(screen: Any) -> None:
    config = SimpleNamespace(
        name="tiny",
        workers=0,
        cluster=None,
        stop=SimpleNamespace(evaluations=3, core_seconds=None, minutes=None),
    )
    with Live(SimpleNamespace(config=config, objectives=()), Path("runs/[/x]"), screen):  # type: ignore[arg-type]
        pass
    assert "campaign tiny in runs/[/x], this process" in screen.file.getvalue()


def test_progress_keeps_to_eighty_columns() -> None:
    """It wrapped into half lines, and no bar was left."""
    known = {"TERM": "xterm", "COLUMNS": "80"}
    screen = Console(file=io.StringIO(), force_terminal=True, width=80, _environ=known)
    stop = SimpleNamespace(evaluations=4000, core_seconds=None, minutes=3.0)
    config = SimpleNamespace(name="a_long_name_of_a_campaign", workers=2, cluster=None, stop=stop)
    refused = Counter(too_close=23, already_known=456)
    done = {"evaluated": 1234, "session": 1234, "failed": 12, "duplicates": 345}
    with Live(SimpleNamespace(config=config, objectives=()), Path("x"), screen) as live:  # type: ignore[arg-type]
        live(Progress(refused=refused, seconds=60.0, best=123.4567, **done))  # type: ignore[arg-type]
        live._bar.refresh()
    printed = screen.file.getvalue()  # type: ignore[attr-defined]
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed).replace("\r", "\n")
    shown = [line.rstrip() for line in plain.splitlines() if "1234 done" in line]
    assert "━" in shown[-1]
    assert "1234 done, 20.6/s, best 123.4567, 2 min left" in shown[-1]
    assert max(len(line) for line in plain.splitlines()) <= 80


def test_a_log_hears_of_what_takes_long_and_of_nothing_else(screen: Any) -> None:
    with working(screen, "thinking", after=0.01):
        time.sleep(0.1)
    with working(screen, "blinking", after=60.0):
        pass
    assert screen.file.getvalue() == "thinking ...\n"


COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_an_example_units_and_defaults(name: str) -> None:
    command = COMMANDS[name]
    assert f"Example: htinvert {name}" in (command.help or "")
    for option in command.params:
        said = getattr(option, "help", None)
        assert said, f"{name} {option.name} has no help"
        assert said.rstrip("]")[-1] in ".:" or said.endswith("]"), said
        if option.param_type_name != "option" or option.name in ("help", *MUST):
            continue
        if option.default is None:
            assert "[" in said, f"{name} {option.name} does not say what holds without it: {said}"
        elif isinstance(option.default, float):
            assert re.search(r"\[.+\]|as a ratio", said), (
                f"{name} {option.name} has no unit: {said}"
            )
        if option.default not in (None, True, False):
            assert option.show_default, f"{name} {option.name} does not show its default"


MUST = ("phase", "zone")  # of calibrate, which cannot do without
