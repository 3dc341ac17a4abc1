"""The command line. Every command is thin: it reads, calls one verb, and shows what came of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from htinvert.core import UserError

if TYPE_CHECKING:
    from ase import Atoms

    from htinvert.config import Experiment
    from htinvert.core import Objective
    from htinvert.plan import Plan
    from htinvert.rank import Ranked

MISTAKE = 2  # exit code of a user's mistake
YAML = (".yaml", ".yml")


app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="From one micrograph and a guess at the chemistry to a ranked list of structures.",
)

CampaignFile = Annotated[Path, typer.Argument(help="The campaign's YAML file.")]
RunFolder = Annotated[Path, typer.Argument(help="The folder of a run.")]
Top = Annotated[int, typer.Option(min=1, help="How many families.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Run folder [runs/NAME].")]
Workers = Annotated[int | None, typer.Option(min=0, help="Worker processes; 0: this process.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Another seed, another run folder.")]
Evaluations = Annotated[int | None, typer.Option(min=1, help="Stop after so many in all.")]
Minutes = Annotated[float | None, typer.Option(help="Stop this session after so long.")]


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder.")] = Path("runs/demo"),
    seed: Seed = None,
    workers: Workers = None,
) -> None:
    """Find a planted boundary in a multislice image of it, in a minute or two.

    Example: htinvert demo --seed 3
    """
    from htinvert import demo as planted

    plan = _plan(planted.CAMPAIGN, seed=seed, workers=workers)
    if seed is not None and output == Path("runs/demo"):
        output = Path(f"runs/demo-seed{seed}")
    ranked = _run(plan, output)
    typer.echo(planted.verdict(ranked, plan.space.region))


@app.command()
def check(
    campaign: CampaignFile,
    picture: Annotated[Path | None, typer.Option(help="Where to draw [NAME-check.png].")] = None,
) -> None:
    """Validate a campaign, show what was read and estimate what it costs; runs nothing.

    Example: htinvert check configs/cdte_tellurene.yaml
    """
    from htinvert.report.preview import preview

    plan = _plan(campaign)
    preview(plan, picture or Path(f"{plan.config.name}-check.png"), console=_console())


@app.command()
def run(
    campaign: CampaignFile,
    output: Output = None,
    seed: Seed = None,
    workers: Workers = None,
    evaluations: Evaluations = None,
    minutes: Minutes = None,
) -> None:
    """Run a campaign, or go on with it where it was stopped or killed.

    Ctrl-C stops cleanly; the same command resumes.
    Example: htinvert run configs/cdte_tellurene.yaml --workers 2
    """
    plan = _plan(campaign, seed=seed, workers=workers, evaluations=evaluations, minutes=minutes)
    name = plan.config.name if seed is None else f"{plan.config.name}-seed{seed}"
    _run(plan, output or Path("runs") / name)


@app.command()
def calibrate(
    image: Annotated[Path, typer.Argument(help="A micrograph.")],
    phase: Annotated[str, typer.Option(help="A formula such as CdTe, or a structure file.")],
    zone: Annotated[str, typer.Option(help="Zone axis toward the viewer, such as 1,1,0.")],
    crystal: Annotated[str | None, typer.Option(help="Prototype, such as zincblende.")] = None,
    a: Annotated[float | None, typer.Option("-a", help="Lattice constant [Å].")] = None,
    c: Annotated[
        float | None, typer.Option("-c", help="Lattice constant [Å], if hexagonal.")
    ] = None,
    sampling: Annotated[float | None, typer.Option(help="Pixel size [Å/px].")] = None,
    other: Annotated[list[Path] | None, typer.Option(help="Another phase's file.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Where [IMAGE-calibration.png].")] = None,
) -> None:
    """Measure pixel size, shear and rotation from the lattice of a known phase.

    Example: htinvert calibrate twin.dm3 --phase CdTe --crystal zincblende -a 6.48 --zone 1,1,0
    """
    from htinvert.io import read_image
    from htinvert.report.calibration import report
    from htinvert.structures.file import from_file

    report(
        read_image(image, sampling=sampling),
        _phase(phase, crystal, a, c),
        zone=_zone(zone),
        picture=picture or Path(f"{image.stem}-calibration.png"),
        console=_console(),
        name=Path(phase).stem,
        others={path.stem: from_file(path) for path in other or ()},
    )


@app.command()
def register(
    structure: Annotated[Path, typer.Argument(help="A structure file.")],
    image: Annotated[Path, typer.Argument(help="A micrograph, or a YAML file with its block.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder.")] = Path("registered"),
    sampling: Annotated[float | None, typer.Option(help="Pixel size [Å/px].")] = None,
    shape: Annotated[str | None, typer.Option(help="Region to compare [px], ROWSxCOLUMNS.")] = None,
    beam: Annotated[str, typer.Option(help="Zone axis, toward the viewer.")] = "x",
    up: Annotated[str, typer.Option(help="Direction that is up in the image.")] = "z",
    ssim: Annotated[str, typer.Option(help="float7 or uint8-35.")] = "float7",
    intensity: Annotated[str, typer.Option(help="matched, or own extremes.")] = "matched",
    movie: Annotated[bool, typer.Option(help="Draw frames and a movie.")] = True,
) -> None:
    """Find a structure in a micrograph and fit the imaging parameters; the same on every run.

    Example: htinvert register grains.cif image.dm3 --shape 200x160
    """
    from htinvert.report.registration import register_with_progress

    register_with_progress(
        structure,
        _experiment(
            image,
            sampling=sampling,
            shape=shape,
            forward={"use": "stem_convolution", "beam": beam, "up": up},
            metric={"ssim": ssim, "intensity": intensity},
        ),
        folder=image.parent if image.suffix in YAML else Path(),
        output=output,
        movie=movie,
        console=_console(),
    )


@app.command()
def status(folder: RunFolder) -> None:
    """Say how far a run is, also while it goes on.

    Example: htinvert status runs/cdte_tellurene
    """
    from htinvert.rank import rank as order
    from htinvert.report.summary import lineage
    from htinvert.store import Run

    objectives = _objectives(folder)
    with Run.open(folder) as store:
        counts = store.counts()
        ranked = order(store.evaluations(), objectives)
    typer.echo(
        f"{folder}: {counts.ok} evaluated, {counts.failed} failed, {counts.pending} on their way"
    )
    refused = ", ".join(f"{n} {reason}" for reason, n in sorted(counts.refused.items()))
    typer.echo(f"refused before evaluation: {refused or 'none'}")
    if ranked:
        best = ranked[0]
        values = ", ".join(f"{o.name} {best.evaluation.objectives[o.name]:.4f}" for o in objectives)
        typer.echo(
            f"best: #{best.evaluation.candidate.index}, {values} ({lineage(best.evaluation)})"
        )


@app.command("rank")
def rank_command(
    folder: RunFolder,
    top: Top = 10,
    weight: Annotated[
        list[str] | None, typer.Option(help="Another weight, such as energy=0.5; repeatable.")
    ] = None,
) -> None:
    """Rank what a run has found by weighted sum and Pareto front, one line per family.

    Example: htinvert rank runs/cdte_tellurene --weight haadf.registration=20
    """
    from htinvert.report.figures import draw_pareto
    from htinvert.report.summary import table

    objectives = _objectives(folder, weight or [])
    ranked = _ranked(folder, objectives)
    _console().print(table(ranked, objectives, top=top))
    if len(objectives) > 1:
        path = folder / "pareto.png"
        draw_pareto(path, ranked, objectives, title=folder.name)
        typer.echo(f"drawn: {path}")


@app.command()
def export(
    folder: RunFolder,
    target: Annotated[Path, typer.Argument(help="What to write: .xyz, .cif, .vasp or .csv.")],
    top: Top = 10,
) -> None:
    """Write the best structures (extended XYZ, CIF, POSCAR) or the table of all families (CSV).

    Example: htinvert export runs/cdte_tellurene best.xyz --top 5
    """
    from htinvert.io import write_structures, write_table
    from htinvert.report.summary import row

    if target.suffix not in (".xyz", ".cif", ".vasp", ".csv"):
        raise UserError(f"{target.name} has no known ending; choose .xyz, .cif, .vasp or .csv")
    ranked = _ranked(folder, _objectives(folder))
    if target.suffix == ".csv":
        write_table(target, [row(entry) for entry in ranked])
    else:
        write_structures(target, [_labeled(entry) for entry in ranked[:top]])
    count = len(ranked) if target.suffix == ".csv" else min(top, len(ranked))
    typer.echo(f"written: {count} families to {target}")


def main() -> None:
    """Entry point of the ``htinvert`` command: a user's mistake is one sentence and exit code 2."""
    try:
        app()
    except UserError as mistake:
        for line in str(mistake).splitlines():
            typer.echo(f"htinvert: {line}", err=True)
        sys.exit(MISTAKE)


def _plan(
    campaign: Path,
    *,
    seed: int | None = None,
    workers: int | None = None,
    evaluations: int | None = None,
    minutes: float | None = None,
) -> Plan:
    """Read a campaign, with what the command line overrides."""
    from htinvert.config import parse, read_yaml
    from htinvert.plan import make_plan

    raw = read_yaml(campaign)
    config = parse(raw, name=campaign.name)
    changes: dict[str, Any] = {"seed": seed, "workers": workers}
    stops = {"evaluations": evaluations, "minutes": minutes}
    if any(value is not None for value in stops.values()):
        changes["stop"] = config.stop.model_copy(
            update={key: value for key, value in stops.items() if value is not None}
        )
    config = config.model_copy(update={k: v for k, v in changes.items() if v is not None})
    return make_plan(config, folder=campaign.parent)


def _phase(phase: str, crystal: str | None, a: float | None, c: float | None) -> Atoms:
    """A prototype by formula, crystal and lattice constants, or the structure of a file."""
    from htinvert.structures.file import from_file
    from htinvert.structures.prototype import CUBIC, prototype

    if crystal is None:
        return from_file(Path(phase))
    if a is None:
        raise UserError(f"{phase} as {crystal} needs its lattice constant; add -a [Å]")
    return prototype(phase, crystal=crystal, a=a, c=c, cubic=crystal in CUBIC)


def _zone(text: str) -> tuple[int, int, int]:
    """Three indices of a direction."""
    try:
        u, v, w = (int(number) for number in text.replace(" ", ",").split(","))
    except ValueError as error:
        raise UserError(f"zone {text} is not three whole numbers, such as 1,1,0") from error
    return u, v, w


def _experiment(
    image: Path,
    *,
    sampling: float | None,
    shape: str | None,
    forward: dict[str, Any],
    metric: dict[str, Any],
) -> Experiment:
    """The block of a YAML file, or one made of an image and the command's options."""
    from htinvert.config import Experiment, load_experiment

    if image.suffix in YAML:
        return load_experiment(image)
    if shape is not None:
        try:
            rows, columns = (int(number) for number in shape.split("x"))
        except ValueError as error:
            raise UserError(
                f"shape {shape} is not of the form ROWSxCOLUMNS, like 200x160"
            ) from error
        forward["shape"] = [rows, columns]
    return Experiment(
        image=image, sampling=sampling, forward=forward, metrics={"registration": metric}
    )


def _run(plan: Plan, output: Path) -> list[Ranked]:
    """Run a plan with a progress bar; end with a table and pictures."""
    from htinvert.campaign import calibration, run
    from htinvert.plan import evaluate_start
    from htinvert.report.live import Live
    from htinvert.report.summary import draw, table

    console = _console()
    with Live(plan, output, console) as live:
        end = run(plan, output, observer=live)
    console.print(f"stopped: {end.reason}")
    plan = plan.calibrated(calibration(plan, output))
    ranked = _ranked(output, plan.objectives)
    console.print(table(ranked, plan.objectives))
    for path in draw(plan, ranked, output, start=evaluate_start(plan)):
        console.print(f"drawn: {path}", highlight=False)
    return ranked


def _ranked(folder: Path, objectives: Sequence[Objective]) -> list[Ranked]:
    from htinvert.rank import rank
    from htinvert.store import Run

    with Run.open(folder) as store:
        ranked = rank(store.evaluations(), objectives)
    if not ranked:
        raise UserError(
            f"{folder} has no successful evaluation to rank yet; look at `htinvert status`"
        )
    return ranked


def _objectives(folder: Path, weights: Sequence[str] = ()) -> tuple[Objective, ...]:
    """The objectives that a run was made with, with other weights where given."""
    from htinvert.config import read_yaml
    from htinvert.core import Objective

    if not (folder / "config.yaml").is_file():
        raise UserError(f"{folder} is not a run (it has no config.yaml); name a run's folder")
    known: dict[str, float] = read_yaml(folder / "config.yaml")["objectives"]
    for text in weights:
        name, _, value = text.partition("=")
        try:
            if name not in known:
                raise UserError(
                    f"objective {name} is unknown to {folder}; known are {', '.join(known)}"
                )
            known[name] = float(value)
        except ValueError as error:
            raise UserError(f"weight {text} is not of the form NAME=NUMBER") from error
    return tuple(Objective(name, float(weight)) for name, weight in known.items())


def _labeled(entry: Ranked) -> Any:
    atoms = entry.evaluation.atoms.copy()
    atoms.info = {
        "rank": entry.rank,
        "candidate": entry.evaluation.candidate.index,
        "total": entry.total,
    }
    atoms.info |= dict(entry.evaluation.objectives)
    return atoms


def _console() -> Any:
    from rich.console import Console

    return Console()


if __name__ == "__main__":
    main()
