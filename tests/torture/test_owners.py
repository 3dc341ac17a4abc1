"""Of drivers that are started at once exactly one owns the run; the others name it and leave."""

import subprocess
import sys
import time
from pathlib import Path

ROUNDS, SAMPLE, DRIVERS = 50, 2, 3

DRIVER = """
import sys, time
from pathlib import Path
from htinvert.core import UserError
from htinvert.store import RunStore
folder = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
begun = time.monotonic()
try:
    run = RunStore.create_or_open(folder, recipe={}, provenance={})
except UserError as error:
    print("left", error.code, time.monotonic() - begun, error, flush=True)
else:
    print("own", flush=True)
    sys.stdin.readline()
    run.close()
"""


def test_exactly_one_owner(full: bool, tmp_path: Path) -> None:
    for number in range(ROUNDS if full else SAMPLE):
        command = [sys.executable, "-c", DRIVER, str(tmp_path / str(number))]
        drivers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(DRIVERS)
        ]
        for driver in drivers:
            assert driver.stdout and driver.stdout.readline() == "ready\n"
        for driver in drivers:
            assert driver.stdin
            driver.stdin.write("go\n")
            driver.stdin.flush()
        said = [driver.stdout.readline().split(maxsplit=3) for driver in drivers if driver.stdout]
        assert [words[0] for words in said].count("own") == 1, said
        owner = drivers[[words[0] for words in said].index("own")].pid
        for words in said:
            if words[0] == "left":
                assert words[1] == "73" and float(words[2]) < 2.0  # s
                assert f"held by pid {owner} on host" in words[3] or "another" in words[3]
        time.sleep(0.05)
        for driver in drivers:
            driver.communicate("end\n", timeout=60)
