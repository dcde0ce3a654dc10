"""The direction of imports, read from the source: a room imports only from rooms on lower floors."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vqgen"

# Lowest first. checkpoint.py knows no other room, so that any model may derive from its `Portable`.
FLOORS = (
    "processor",
    "native",
    "runtime",
    "checkpoint",
    "orders",
    "pictures",
    "quantizers",
    "losses",
    "attention",
    "conditioning",
    "tokenizer",
    "prior",
    "sampling",
    "metrics",
    "editing",
    "pipeline",
    "data",
    "evaluation",
    "interop",
    "training",
    "compare",
    "demo",
    "cli",
    "__main__",
)
LIGHTNING = ("pytorch_lightning", "lightning")
ORDERS_MAY_IMPORT = {"torch", "numpy", "jaxtyping"}
NAMES_THAT_SAY_NOTHING = {"utils", "util", "common", "helpers", "helper", "misc"}


@dataclass(frozen=True)
class Import:
    """One import: where it stands, the dotted name it brings in, and whether it runs when the file is imported."""

    file: Path
    line: int
    name: str
    at_module_level: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.name}"


def imports_of(package: Path, file: Path) -> Iterator[Import]:
    """Every import of a file, also inside functions and classes, relative ones made absolute."""
    inside = (package.name, *file.relative_to(package).parent.parts)
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

    def walk(node: ast.AST, at_module_level: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            names: list[str] = []
            if isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom):
                above = inside[: len(inside) - child.level + 1] if child.level else ()
                module = ".".join([*above, *([child.module] if child.module else [])])
                names = [f"{module}.{alias.name}" for alias in child.names]
            elif isinstance(child, ast.Call) and ast.unparse(child.func) in ("importlib.import_module", "__import__"):
                names = [a.value for a in child.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            for name in names:
                yield Import(file.relative_to(package.parent), child.lineno, name, at_module_level)
            yield from walk(child, at_module_level and not isinstance(child, functions))

    yield from walk(ast.parse(file.read_text(encoding="utf-8")), True)


def all_imports(package: Path) -> list[Import]:
    return [found for file in sorted(package.rglob("*.py")) for found in imports_of(package, file)]


def room_of_file(file: Path) -> str:
    """`vqgen/prior/block.py` and `vqgen/prior.py` are in the room `prior`; `vqgen/__init__.py` is the entrance."""
    return Path(file.parts[1]).stem


def room_of_name(package: Path, name: str) -> str | None:
    """The room of `vqgen.prior.Prior`; of `vqgen.Prior`, which the entrance only passes on; None outside any room."""
    parts = name.split(".")
    if parts[0] != package.name or len(parts) == 1:
        return None
    if (package / parts[1]).is_dir() or (package / f"{parts[1]}.py").is_file():
        return parts[1]
    return passed_on(package).get(parts[1])


def passed_on(package: Path) -> dict[str, str]:
    """Public names of the package's entrance, and the rooms that they come from."""
    imports = imports_of(package, package / "__init__.py")
    own = [found.name.split(".") for found in imports if found.name.startswith(f"{package.name}.")]
    return {parts[-1]: parts[1] for parts in own if len(parts) > 2}


def upward_imports(package: Path) -> list[str]:
    """What goes against the direction: imports from a higher floor, and rooms that stand on no floor."""
    wrong = []
    for found in all_imports(package):
        room, other = room_of_file(found.file), room_of_name(package, found.name)
        if room == "__init__" or other in (None, room):
            continue
        nowhere = [name for name in (room, other) if name not in FLOORS]
        wrong += [f"{found}: {name} stands on no floor; give it one in FLOORS" for name in nowhere]
        if not nowhere and FLOORS.index(other) > FLOORS.index(room):
            wrong.append(f"{found}: {other} stands above {room}")
    return wrong


def lightning_outside_training(package: Path) -> list[str]:
    """Lightning belongs to training, to data's data modules, and to functions of cli."""
    wrong = []
    for found in all_imports(package):
        if found.name.split(".")[0] not in LIGHTNING:
            continue
        room = room_of_file(found.file)
        if room == "training" or (room == "cli" and not found.at_module_level):
            continue
        if room == "data" and "DataModule" in (package.parent / found.file).read_text(encoding="utf-8"):
            continue
        wrong.append(str(found))
    return wrong


def imported_with(package: Path, room: str) -> list[Import]:
    """Third-party imports that run when a room is imported: those of its files that its `__init__.py` leads to."""
    waiting, seen, outside = [package / room / "__init__.py"], set(), []
    while waiting:
        file = waiting.pop()
        if file in seen or not file.is_file():
            continue
        seen.add(file)
        for found in imports_of(package, file):
            if not found.at_module_level:
                continue
            parts = found.name.split(".")
            if parts[0] == package.name:
                paths = [package.joinpath(*parts[1:end]) for end in range(2, len(parts) + 1)]
                waiting += [
                    candidate for path in paths for candidate in (path.with_suffix(".py"), path / "__init__.py")
                ]
            elif parts[0] not in sys.stdlib_module_names:
                outside.append(found)
    return outside


def make_package(folder: Path, files: dict[str, str]) -> Path:
    package = folder / "vqgen"
    for name, text in {"__init__.py": "", **files}.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return package


def test_every_room_imports_only_from_lower_floors():
    assert upward_imports(PACKAGE) == []


def test_every_room_stands_on_a_floor():
    rooms = {room_of_file(file.relative_to(ROOT)) for file in PACKAGE.rglob("*.py")} - {"__init__"}
    assert rooms <= set(FLOORS)
    assert {"orders", "tokenizer", "prior", "pipeline", "training", "cli"} <= rooms


def test_lightning_stays_in_training_and_data_modules():
    assert lightning_outside_training(PACKAGE) == []


def test_orders_import_nothing_but_torch_and_numpy():
    found = imported_with(PACKAGE, "orders")
    assert {"torch", "numpy"} <= {each.name.split(".")[0] for each in found}
    assert [str(each) for each in found if each.name.split(".")[0] not in ORDERS_MAY_IMPORT] == []


def test_no_name_says_nothing():
    folders = (PACKAGE, ROOT / "tests", ROOT / "scripts", ROOT / "benchmarks", ROOT / "configs")
    paths = [
        path.relative_to(ROOT) for folder in folders for path in folder.rglob("*") if "__pycache__" not in path.parts
    ]
    assert len(paths) > 50
    assert [path for path in paths if path.stem.strip("_") in NAMES_THAT_SAY_NOTHING] == []


@pytest.mark.parametrize(
    "statement",
    [
        "from vqgen.prior import Prior",
        "from ..prior import Prior",
        "from .. import prior",
        "import vqgen.prior.block",
        "from vqgen import prior",
        "from vqgen import Prior",
        "def late():\n    from vqgen.prior import Prior",
        "import importlib\nimportlib.import_module('vqgen.prior')",
    ],
)
def test_checker_finds_an_upward_import(tmp_path, statement):
    package = make_package(
        tmp_path,
        {
            "__init__.py": "def __getattr__(name):\n    from vqgen.prior import Prior\n    return Prior",
            "orders/__init__.py": statement,
            "prior/__init__.py": "from vqgen.orders import scan_order",
            "prior/block.py": "",
        },
    )
    (problem,) = upward_imports(package)
    assert problem.startswith("vqgen/orders/__init__.py:")
    assert problem.endswith("prior stands above orders")


def test_checker_finds_a_room_without_a_floor(tmp_path):
    package = make_package(tmp_path, {"attic.py": "from vqgen.orders import x", "orders/__init__.py": ""})
    (problem,) = upward_imports(package)
    assert "attic stands on no floor" in problem


def test_checker_finds_lightning_in_the_wrong_place(tmp_path):
    package = make_package(
        tmp_path,
        {
            "training/cli.py": "import pytorch_lightning",
            "cli.py": "def fit():\n    import pytorch_lightning",
            "data/image_data.py": "import pytorch_lightning as pl\nclass ImageDataModule(pl.LightningDataModule): ...",
            "data/source.py": "from pytorch_lightning import seed_everything",
            "__main__.py": "import pytorch_lightning",
        },
    )
    assert lightning_outside_training(package) == [
        "vqgen/__main__.py:1 imports pytorch_lightning",
        "vqgen/data/source.py:1 imports pytorch_lightning.seed_everything",
    ]


def test_checker_follows_imports_within_a_room(tmp_path):
    package = make_package(
        tmp_path,
        {
            "orders/__init__.py": "from vqgen.orders.plot import draw",
            "orders/plot.py": "import math\nfrom PIL import Image\ndef draw():\n    import matplotlib",
            "orders/panel.py": "import matplotlib",
        },
    )
    assert [str(found) for found in imported_with(package, "orders")] == ["vqgen/orders/plot.py:2 imports PIL.Image"]


def test_lightning_is_loaded_by_training_commands_only():
    program = """
import sys
import vqgen
from vqgen.cli import main

def loaded(what):
    print(what, "pytorch_lightning" in sys.modules, file=sys.stderr)

loaded("import")
main(["orders", "list"])
loaded("orders")
try:
    main(["--help"])
except SystemExit as stop:
    loaded(f"help-{stop.code}")
from vqgen import Pipeline, Prior, Tokenizer
loaded("pipeline")
import vqgen.data
loaded("data")
import vqgen.training
loaded("training")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stderr.splitlines() == [
        "import False",
        "orders False",
        "help-0 False",
        "pipeline False",
        "data False",
        "training True",
    ]
