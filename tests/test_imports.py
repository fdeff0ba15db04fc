"""Imports point one way, and what is heavy is loaded late."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgett

ROOT = Path(edgett.__file__).parent
LEVELS = (
    {"errors", "escape", "meter"},
    {"system"},
    {"forms"},
    {"graph"},
    {"search"},
    {"target"},
    {"job"},
    {"schema"},
    {"model", "export"},
    {"device", "firmware"},
    {"train"},
    {"examples"},
    {"run"},
    {"workflow"},
    {"report"},
    {"api", "cli"},
)
"""Packages and the modules beside them, from the ground up: what is imported is on a lower floor."""
WORKFLOW = (
    {"inputs", "files", "survey", "forecast", "explored", "reasons", "profile_file"},
    {"convertible", "proposal", "tuning", "document", "readback", "reverting", "timing", "slim", "probing"},
    {"original"},
    {"pruning"},
    {"promising"},
    {"terms"},
    {"tutor"},
    {"exports", "cures"},
    {"release"},
    {"outcome", "reexport"},
    {"hardware", "holding"},
    {"compress", "deploy", "train", "bench", "pack", "calibrate"},
    {"emulate"},
    {"count"},
)
"""What a job goes through, likewise: who makes a thing knows nothing of who has it made."""
WRAPPED = {
    "tensorflow": {"model", "train", "examples", "export"},
    "keras": {"model", "train", "examples"},
    "t3f": {"model"},
    "onnx": {"export"},
    "tf2onnx": {"export"},
    "onnxruntime": {"export", "device"},
    "ai_edge_litert": {"export", "device"},
    "loky": {"train"},
    "cloudpickle": {"train"},
    "ray": {"train"},
    "plotly": {"report"},
    "matplotlib": {"report"},
    "emx_onnx_cgen": {"export"},
    "elftools": {"firmware"},
    "subprocess": {"device", "firmware"},
}
HEAVY = (
    "tensorflow",
    "keras",
    "t3f",
    "onnx",
    "tf2onnx",
    "onnxruntime",
    "ai_edge_litert",
    "loky",
    "cloudpickle",
    "ray",
    "plotly",
    "matplotlib",
    "jinja2",
    "emx_onnx_cgen",
    "elftools",
)


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def part(path: Path) -> str:
    """The name on the levels of what a module belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """The modules that are imported when the code runs: not those for the type checker alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    idle = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in node.body
        for inner in ast.walk(child)
    }
    for node in ast.walk(tree):
        if id(node) in idle:
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield str(node.module)
            yield from (f"{node.module}.{name.name}" for name in node.names)


def own(path: Path) -> set[str]:
    """The names on the levels that a module imports."""
    names = {name.split(".")[1] for name in imported(path) if name.startswith("edgett.")}
    return names & set().union(*LEVELS)


def level(name: str) -> int:
    return next(index for index, names in enumerate(LEVELS) if name in names)


EVERY = pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))


@EVERY
def test_imports_point_down(path: Path) -> None:
    name = part(path)
    if name in ("__init__", "__main__"):
        return
    for other in own(path) - {name}:
        assert level(other) < level(name), f"{name} imports {other}"


def test_a_job_does_not_climb_back() -> None:
    floors = {name: floor for floor, names in enumerate(WORKFLOW) for name in names}
    assert set(floors) == {path.stem for path in (ROOT / "workflow").glob("*.py")} - {"__init__"}
    for name, floor in floors.items():
        used = {other.split(".")[2] for other in imported(ROOT / "workflow" / f"{name}.py") if is_step(other)}
        assert all(floors[other] < floor for other in used - {name}), f"{name} imports {used}"


def is_step(module: str) -> bool:
    return module.startswith("edgett.workflow.") and module.count(".") == 2


def test_every_module_has_its_level() -> None:
    assert {part(path) for path in modules()} - {"__init__", "__main__"} == set().union(*LEVELS)


def test_the_house_has_rooms() -> None:
    assert len(list(ROOT.glob("*.py"))) <= 6


def test_no_cycle() -> None:
    graph: dict[str, set[str]] = {}
    for path in modules():
        name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
        graph[name] = set(imported(path))
    # `from package import module` needs the module; that the package is loaded first closes no cycle here.
    edges = {
        name: {other for other in others if other in graph and not any(o.startswith(f"{other}.") for o in others)}
        for name, others in graph.items()
    }
    while leaves := {name for name, others in edges.items() if not others}:
        edges = {name: others - leaves for name, others in edges.items() if name not in leaves}
    assert not edges


@EVERY
def test_libraries_stay_where_they_are_wrapped(path: Path) -> None:
    for name in imported(path):
        library = name.split(".")[0]
        assert part(path) in WRAPPED.get(library, {part(path)}), f"{path.name} imports {library}"


@pytest.mark.parametrize(
    "path", [path for path in modules() if part(path) in WRAPPED["keras"]], ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_private_side_of_keras_stays_in_one_module(path: Path) -> None:
    found = {
        node.attr
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        if ast.unparse(node.value) not in ("self", "cls", "os", "parts", "found", "writer")
    }
    found -= {"_processes"}  # of loky
    private = found | {name for name in imported(path) if name.startswith("keras.src")}
    assert (path.name == "keras_compat.py") == bool(private), private


def test_a_class_name_means_one_thing() -> None:
    found = [
        node.name
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    assert len(found) > 400
    assert [name for name, count in Counter(found).items() if count > 1] == []


def test_few_modules_name_tensor_trains() -> None:
    """The paper's grid, the calibration of transposes, T3F, and the public API: a form is one module, and a line."""
    names = re.compile(r"\b(TTShape|TTDense|tt_svds?|TensorTrain)\b")
    found = {str(path.relative_to(ROOT)) for path in modules() if names.search(path.read_text(encoding="utf-8"))}
    outside = {name for name in found if not name.startswith("forms/")}
    assert outside == {
        "__init__.py", "device/calibrate.py", "device/counted.py", "model/reference.py", "model/tt_dense.py",
        "search/corners.py", "search/tiles.py",
    }  # fmt: skip
    assert {name for name in found if name.startswith("forms/") and "/tt/" not in name} == {"forms/catalogue.py"}


def test_imports_are_seen() -> None:
    """The tests above pass where none is."""
    rooms = ("model", "train", "export")
    found = {name.split(".")[0] for path in modules() for name in imported(path) if part(path) in rooms}
    assert {"tensorflow", "keras", "onnx", "tf2onnx", "ai_edge_litert", "loky"} <= found
    assert {"job", "run", "workflow"} <= own(ROOT / "cli" / "making.py")


def test_what_is_heavy_is_seen() -> None:
    assert loaded_after("import onnx") >= {"onnx", "numpy"}


def loaded_after(code: str) -> set[str]:
    """The heavy libraries that a fresh process has loaded in the end."""
    report = f"import sys\n{code}\nprint(*(set({(*HEAVY, 'numpy')!r}) & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import edgett", set()),
        ("import edgett.cli; edgett.cli.run(['--help'])", set()),
        ("import edgett.cli; edgett.cli.run(['compress', '--help'])", set()),
        ("import edgett.cli; edgett.cli.run(['targets', 'list'])", set()),
        ("import edgett.cli; edgett.cli.run(['schema'])", set()),
        ("import edgett.cli; edgett.cli.run(['schema', 'compress'])", {"numpy"}),
        ("import edgett.cli; edgett.cli.run(['explore', '--layer', '64x48', '--quiet', '--json'])", {"numpy"}),
        ("import edgett.cli; edgett.cli.run(['explore', '--layer', '3x3x4x4@4x4', '--quiet'])", {"numpy"}),
        ("import edgett; edgett.explore(['64x48'])", {"numpy"}),
        ("import edgett; edgett.load_target('cortex-m4')", set()),
    ],
)
def test_light_commands_load_nothing_heavy(code: str, allowed: set[str]) -> None:
    assert loaded_after(code) <= allowed
