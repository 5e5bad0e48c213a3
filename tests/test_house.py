"""Who may import whom, and what may be imported at all before it is needed (docs/architecture.md)."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "video": {"video"},
    "sam": {"sam"},
    "pipeline": {"pipeline", "video", "sam"},
    "studio": {"studio", "pipeline", "video", "sam"},
    "main": {"pipeline", "studio"},
}
OURS = set(ALLOWED) | {"conf", "tests", "benchmarks"}
HEAVY = {"torch", "torchvision", "transformers", "sam3", "ray", "fastapi", "lightning_sdk", "datasets", "decord", "PIL"}
SERVER = {"fastapi"}  # what the studio is made of; what starts it imports that later
STARTS = {"studio/__init__.py", "studio/serve.py", "studio/errors.py"}
CONFIG = {"hydra", "omegaconf"}
CONFIG_ROOMS = {
    "main.py",
    "pipeline/config.py",
    "pipeline/config_tree.py",
    "pipeline/schema.py",
    "pipeline/cli.py",
    "hydra_plugins/lightning.py",
}


def modules() -> list[Path]:
    found = [ROOT / "main.py"]
    for package in ("video", "sam", "pipeline", "studio"):
        found += sorted((ROOT / package).rglob("*.py"))
    return found


def imported(path: Path, *, top_level: bool) -> set[str]:
    """First parts of the names a module imports; with top_level, only those that importing it runs."""
    tree = ast.parse(path.read_text())
    names: set[str] = set()

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                names.update(alias.name.split(".")[0] for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: relative import"
                names.add((child.module or "").split(".")[0])
            deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            if not (top_level and (deferred or typing_only)):
                visit(child)

    visit(tree)
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_stay_in_their_house(path: Path) -> None:
    relative = path.relative_to(ROOT).as_posix()
    package = relative.split("/")[0].removesuffix(".py")
    ours = imported(path, top_level=False) & OURS
    assert ours <= ALLOWED[package] | {package}, f"{relative} imports {ours - ALLOWED[package]}"
    heavy = HEAVY - SERVER if package == "studio" and relative not in STARTS else HEAVY
    assert not imported(path, top_level=True) & heavy, f"{relative} imports a heavy library when it is imported"
    if relative not in CONFIG_ROOMS:
        assert not imported(path, top_level=False) & CONFIG, f"{relative} knows Hydra"


def test_no_imports_go_round_in_circles() -> None:
    """Also not with imports inside functions or for types alone: whoever needs another's names stands above it."""
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in modules()}
    needs = {name: {each for each in _needed(path) if each in names} for name, path in names.items()}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail(f"imports in a circle: {' <- '.join(error.args[1])}")


def _needed(path: Path) -> set[str]:
    """The modules that a module imports anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return found


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys; sys.argv = ['main.py', '--help']; import main\n"
        "try: main.main()\n"
        "except SystemExit: pass\n"
        f"print('LOADED', sorted(set(sys.modules) & {HEAVY | {'scipy', 'fsspec', 'aiohttp', 'paramiko'}!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stdout
    assert "tracker=" in done.stdout


def test_the_schema_loads_nothing_that_only_a_build_needs() -> None:
    code = (
        "import sys, main; main.register()\n"
        "print('LOADED', sorted(set(sys.modules) & {'pyarrow', 'scipy', 'asyncio', 'tqdm', 'jinja2', 'uvicorn'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stdout
