"""How a driver fares over a long campaign: its rate and memory, a kill in the middle, its readers.

    python benchmarks/live.py [--rows 20000] [--workers 2] [--folder FOLDER]

Clusters of six Lennard-Jones atoms that nothing relaxes, so that each candidate costs next to
nothing and the driver is all there is. Half-way it is killed (SIGKILL) and started again by the
same command; then `status`, `rank` and `report` read what it has left.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from htinvert.core import UserError
from htinvert.store import RunStore

CAMPAIGN = {
    "name": "live",
    "structure": {"use": "box", "size": 12.0},
    "composition": {"Cu": [6, 6]},
    "energy": {"use": "lennard_jones", "epsilon": 0.4, "sigma": 2.3, "steps": 0},
    "search": {"generators": [{"use": "random"}]},
}
PROGRAM = [sys.executable, "-m", "htinvert.cli"]
LOOKS = 10  # at the driver's memory, in either half


def memory(process: int) -> float:
    """Resident memory of a process [MB]."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def processor(process: int) -> float:
    """Processor time that a process has taken [s]."""
    ticks = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def rows_of(path: Path) -> int:
    """Rows that are committed."""
    try:
        with RunStore.open(path) as run:
            counts = run.counts()
            return counts.ok + counts.failed
    except UserError:
        return 0  # not there yet


def follow(command: list[str], path: Path, until: int, step: int) -> bool:
    """Run the driver and print what it takes, every so many rows; kill it at ``until`` rows."""
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    begun, before, wanted = time.perf_counter(), rows_of(path), 0
    while driver.poll() is None:
        time.sleep(1.0)
        rows = rows_of(path)
        if rows < max(wanted, before + 1) or driver.poll() is not None:
            continue
        seconds, busy = time.perf_counter() - begun, processor(driver.pid)
        rate, each = (rows - before) / seconds, 1e3 * busy / (rows - before)
        print(f"| {rows} | {rate:.0f} | {each:.1f} | {memory(driver.pid):.0f} |", flush=True)
        wanted = rows + step
        if rows >= until:
            driver.send_signal(signal.SIGKILL)
            driver.wait()
            return True
    return driver.returncode == 0


def read(path: Path) -> None:
    """What the readers take."""
    script = "import resource, sys; from htinvert.cli.app import main\ntry: main()\nfinally:\n"
    script += " use = resource.getrusage(resource.RUSAGE_SELF)\n"
    script += " print(use.ru_utime + use.ru_stime, use.ru_maxrss / 1e3, file=sys.stderr)"
    for name in ("status", "rank", "report", "verify"):
        command = [sys.executable, "-c", script, name, str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        spent, largest = done.stderr.split()[-2:]
        print(f"| {name} | {float(spent):.1f} | {float(largest):.0f} | {done.returncode} |")


def measure(folder: Path, rows: int, workers: int) -> None:
    """One campaign, killed once."""
    file, path = folder / "live.yaml", folder / "run"
    file.write_text(yaml.safe_dump(CAMPAIGN | {"workers": workers, "stop": {"evaluations": rows}}))
    command = [*PROGRAM, "run", str(file), "-o", str(path)]
    print("| rows | a second | driver, ms of processor each | driver, MB |\n|---|---|---|---|")
    step = max(1, rows // (2 * LOOKS))
    follow(command, path, rows // 2, step)
    print("| killed, and the same command again | | | |")
    good = follow(command, path, 2 * rows, step)
    print(f"\nended well: {good}, {rows_of(path)} of {rows} rows")
    files = [each for each in path.rglob("*") if each.is_file()]
    size = sum(each.stat().st_size for each in files)
    print(f"{len(files)} files, {size / rows:.0f} B a row\n")
    print("| reader | s of processor | MB at most | exit code |\n|---|---|---|---|")
    read(path)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the run is left (default: nowhere)")
    options = parser.parse_args()
    if options.folder is not None:
        measure(options.folder, options.rows, options.workers)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options.rows, options.workers)


if __name__ == "__main__":
    main()
