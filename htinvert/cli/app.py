"""The program that the commands belong to."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import HAS_RICH, TyperGroup

from htinvert.cli.usage import in_a_sentence, unknown_command
from htinvert.core import EvaluationFailed, UserError
from htinvert.declaration import trust

Scan = Annotated[
    str | None, typer.Option(help="A range of a chemical potential, such as Te=-2.6:-2.1 [eV].")
]
Tie = Annotated[
    list[str] | None,
    typer.Option(help="With --scan, a compound and its energy, such as CdTe=-4.119 [eV]."),
]

Trust = Annotated[
    bool,
    typer.Option(
        "--trust", help="Run code that a file names: module:attribute, a command, a model."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead, for scripts: eV, Å and s.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but mistakes.")]
YAML = (".yaml", ".yml")
TEMPORARY = 75  # what a command ends with that may be given again (EX_TEMPFAIL)
PASSES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free space there"),
    errno.EROFS: "make its file system writable",
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.ETIMEDOUT), "look at its disk or server"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "allow more open files (ulimit -n)"),
}
"""Errors of the system that may pass, and what to do about each."""
PANELS = {
    "Begin": ("demo", "example", "init", "schema"),
    "Campaigns": ("check", "run", "watch", "status"),
    "Results": ("rank", "decide", "report", "export", "verify", "migrate"),
    "Data and structures": (
        *("calibrate", "locate", "register", "match", "compare", "fit", "edges", "scan", "build"),
    ),
    "From images to laws": ("columns", "hamiltonian", "fluctuations", "series"),
}
"""Commands in groups, as the list of all shows them."""
PANEL_OF = {name: panel for panel, names in PANELS.items() for name in names}
BARE = ("calibrate", "register", "locate", "match", "init", "scan")  # take data without a block
OPTIONS = {
    "set the experiment's sampling": "give --sampling",
    "Set the experiment's sampling": "Give --sampling",
    "check the experiment's image": "check its path",
    "choose one with the experiment's": "give a YAML file with the image's block and in it its",
}
TRUSTING = ("run", "demo", "series")  # commands whose file is there to be run


class Commands(TyperGroup):
    """The commands: help is printed as it is written (a unit in brackets is no markup).

    What was typed wrongly is said in a sentence.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if not HAS_RICH:
            return
        for name, command in self.commands.items():
            command.rich_help_panel = PANEL_OF.get(name)  # type: ignore[attr-defined]
            for part in (command, *command.params):
                if getattr(part, "help", None):
                    part.help = escaped(part.help)  # type: ignore[attr-defined]

    def make_context(self, *words: Any, **settings: Any) -> Any:
        """Read the words before the command's name."""
        with in_a_sentence():
            return super().make_context(*words, **settings)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the first word names."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise unknown_command(args[0], sorted(self.commands))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Read the command's own words, and run it."""
        with in_a_sentence(ctx):
            return super().invoke(ctx)


def escaped(text: str) -> str:
    """Text with a backslash before whatever rich would take for markup, as its own escape does."""
    return re.sub(r"(\\*)(\[[a-z#/@][^[]*?])", r"\1\1\\\2", text)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="From one micrograph and a guess at the chemistry to a ranked list of structures.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        import htinvert

        typer.echo(f"htinvert {htinvert.__version__}")
        raise typer.Exit


@app.callback()
def program(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001  (its callback has answered)
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Entry of every command."""
    os.umask(os.umask(0o002) | 0o002)  # nobody but the owner and the group may ever write
    if context.invoked_subcommand not in TRUSTING:
        context.with_resource(trust.distrusting())


def two_numbers(text: str, otherwise: str) -> tuple[float, float]:
    """Two numbers with a colon between. Raises :class:`UserError` that says ``otherwise``."""
    low, _, high = text.partition(":")
    try:
        return float(low), float(high)
    except ValueError as error:
        raise UserError(otherwise) from error


def answer_for(named: bool) -> None:
    """Run the code that files name, where ``--trust`` was given; refuse it otherwise."""
    if named:
        trust.trust()


def main() -> None:
    """Entry point of the ``htinvert`` command: a user's mistake is one sentence, and its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no Å
    try:
        app()
    except UserError as mistake:
        _say(as_typed(str(mistake), sys.argv[1:]))
        sys.exit(mistake.code)
    except EvaluationFailed as failure:
        _say(f"the structure cannot be compared: {failure}")
        sys.exit(UserError.code)
    except (ModuleNotFoundError, PackageNotFoundError) as error:
        if not error.name or error.name.partition(".")[0] == "htinvert":
            raise
        _say(not_installed(error.name))
        sys.exit(UserError.code)
    except OSError as error:
        unnamed = error.filename is None and error.errno not in PASSES
        if unnamed or isinstance(error, BrokenPipeError):
            raise
        _say(no_file(error))
        sys.exit(TEMPORARY if error.errno in PASSES else UserError.code)


def _say(text: str) -> None:
    for line in text.splitlines():
        typer.echo(f"htinvert: {line}", err=True)


def as_typed(text: str, words: Sequence[str]) -> str:
    """A message on an experiment's keys, said of options where an image was given without a block.

    >>> as_typed("x.npy has no pixel size; set the experiment's sampling [Å/px]", ["locate"])
    'x.npy has no pixel size; give --sampling [Å/px]'
    """
    if not words or words[0] not in BARE or any(word.endswith(YAML) for word in words):
        return text
    for key, option in OPTIONS.items():
        text = text.replace(key, option)
    return text


def not_installed(package: str) -> str:
    """What to type where a package is missing: its own name, or the extra that brings it."""
    name = package.partition(".")[0]
    for needed in requires("htinvert") or ():
        wanted, _, extra = needed.partition("; extra ==")
        if extra and re.match(rf"{re.escape(name)}\b", wanted, re.IGNORECASE):
            extra = extra.strip(" '\"")
            return f'{name} is not installed; `pip install "htinvert[{extra}]"`'
    return f"{name} is not installed; `pip install {name}`"


def no_file(error: OSError) -> str:
    """What to do about a file or folder that cannot be read or written."""
    name = error.filename.decode() if isinstance(error.filename, bytes) else error.filename
    advice = PASSES.get(error.errno or 0, "name another place, or give access")
    if name is None:  # of a file that was open already
        name = "a file"
    return f"{name} cannot be read or written ({error.strerror}); {advice}"


def console(*, quiet: bool = False) -> Any:
    """Where rich text goes; nothing of it where it is ``quiet``."""
    from htinvert.report.terminal import terminal

    return terminal(quiet=quiet)


def say_json(values: Any) -> None:
    """Print plain values as JSON."""
    from htinvert.report.as_json import written

    typer.echo(written(values))
