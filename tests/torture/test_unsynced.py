"""What was acknowledged survives a machine that loses, or reorders, all that was not synced.

The shim logs every operation of a driver on the run's folder. At a random moment the machine is
said to die: of each file the writes after its last sync, and of each folder the names given since
its last sync, are kept or dropped at random. From what is left the run must come up again.
"""

import random
import shutil
from pathlib import Path

from .conftest import Forked

REPLAYS, SAMPLE = 200, 3

Operation = tuple[str, str, str, int, bytes]


def read_log(path: Path) -> list[Operation]:
    raw, at, found = path.read_bytes(), 0, []
    while at < len(raw):
        end = raw.index(b"\n", at)
        what, name, other, offset, size = raw[at:end].decode().split("\t")
        data = raw[end + 1 : end + 1 + int(size)]
        found.append((what, name, other, int(offset), data))
        at = end + 1 + int(size)
    return found


class Machine:
    """A folder after a power cut: files are inodes, names are entries of folders."""

    def __init__(self, operations: list[Operation], dice: random.Random) -> None:
        self.names: dict[str, int] = {}
        self.durable: dict[str, int | None] = {}
        self.changes: dict[int, list[tuple[int, int, bytes]]] = {}  # inode: number, offset, data
        self.synced: dict[int, int] = {}
        self.entries: list[tuple[int, str, int | None]] = []  # number, name, inode or gone
        self.folders: dict[str, int] = {}
        self.acknowledged: set[int] = set()
        for number, operation in enumerate(operations):
            self.take(number, operation)
        self.dice = dice

    def take(self, number: int, operation: Operation) -> None:
        what, name, other, offset, data = operation
        if what == "ack":
            self.acknowledged |= {int(word[1:]) for word in name.split()}
        elif what == "create":
            inode = len(self.changes)
            self.changes[inode], self.names[name] = [], inode
            self.entries.append((number, name, inode))
        elif what == "write":
            self.changes[self.names[name]].append((number, offset, data))
        elif what == "truncate" and name in self.names:
            self.changes[self.names[name]].append((number, -1 - offset, b""))
        elif what == "rename":
            inode = self.names.pop(name)
            self.names[other] = inode
            self.entries += [(number, name, None), (number, other, inode)]
        elif what == "unlink" and self.names.pop(name, None) is not None:
            self.entries.append((number, name, None))
        elif what == "sync":
            if name in self.names:
                # ext4, XFS and Btrfs keep a new file's name with its first sync.
                self.synced[self.names[name]] = number
            else:
                self.folders[name] = number

    def left(self) -> dict[str, bytes]:
        """Files that are there after the cut."""
        found: dict[str, int] = {}
        for number, name, inode in self.entries:
            safe = number < self.folders.get(str(Path(name).parent), -1)
            made = inode is not None and inode in self.synced and name.endswith((".sqlite", ".log"))
            if not (safe or made or self.dice.random() < 0.5):
                continue
            if inode is None:
                found.pop(name, None)
            else:
                found[name] = inode
        return {name: self.content(inode) for name, inode in found.items()}

    def content(self, inode: int) -> bytes:
        raw = bytearray()
        for number, offset, data in self.changes[inode]:
            if number > self.synced.get(inode, -1) and self.dice.random() < 0.5:
                continue
            if offset < 0:
                size = -1 - offset
                raw[size:] = bytes(max(0, size - len(raw)))
            else:
                raw.extend(bytes(max(0, offset - len(raw))))
                raw[offset : offset + len(data)] = data
        return bytes(raw)


def test_acknowledged_results_survive_lost_and_reordered_writes(
    forked: Forked, full: bool, tmp_path: Path
) -> None:
    total = 60 if full else 20
    assert forked("drive", tmp_path / "run", total=total, log=str(tmp_path / "log"))["status"] == 0
    operations = read_log(tmp_path / "log")
    dice = random.Random(5)
    with_results = 0
    for _ in range(REPLAYS if full else SAMPLE):
        machine = Machine(operations[: dice.randint(1, len(operations))], dice)
        shutil.rmtree(tmp_path / "run")
        for name, content in machine.left().items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_bytes(content)
        driver = forked("drive", tmp_path / "run", total=total)
        again = {int(word[1:]) for word in driver["events"] if word[0] == "E"}
        assert driver["status"] == 0, driver
        found = forked("judge", tmp_path / "run")
        assert (found["wrong"], found["doubled"], found["problems"]) == ([], [], [])
        assert sorted(found["indices"]) == list(range(total))
        assert not machine.acknowledged & again
        with_results += bool(machine.acknowledged)
    assert with_results
