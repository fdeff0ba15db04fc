"""What docstrings say of arguments and attributes: all of them, under the names that they have."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module

import pytest

import edgett
from tests.readme import ROOT

INTERFACES = {
    "Spec": "edgett.forms.spec",
    "Form": "edgett.forms.form",
    "Kind": "edgett.model.kinds.kind",
    "Method": "edgett.train.methods.method",
}
"""What others implement, by its name."""
KERAS = {"build", "call", "compute_output_shape", "get_config"}
"""Methods that Keras calls, which are as it has them."""
OWN = {"self", "cls"}


def entries(docstring: str | None, section: str) -> list[str] | None:
    """The names that a section explains, in Google's style; None without the section."""
    if f"{section}:\n" not in (docstring or ""):
        return None
    found = re.search(rf"^{section}:\n((?: .*(?:\n|\Z))*)", inspect.cleandoc(docstring or ""), re.MULTILINE)
    return re.findall(r"^ {4}(\*{0,2}\w+): \S", found[1], re.MULTILINE) if found else None


def parameters(function: ast.FunctionDef) -> list[str]:
    """The names of a function's parameters, with their stars, but for `self` and `cls`."""
    told = function.args
    plain = [each.arg for each in (*told.posonlyargs, *told.args) if each.arg not in OWN]
    several = [f"*{told.vararg.arg}"] if told.vararg else []
    named = [f"**{told.kwarg.arg}"] if told.kwarg else []
    return [*plain, *several, *(each.arg for each in told.kwonlyargs), *named]


def is_dataclass(kind: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(each) for each in kind.decorator_list)


def attributes(kind: ast.ClassDef) -> list[str]:
    """The fields of a dataclass, or what another class sets."""
    if is_dataclass(kind):
        fields = [each for each in kind.body if isinstance(each, ast.AnnAssign)]
        return [ast.unparse(each.target) for each in fields if not ast.unparse(each.annotation).startswith("ClassVar")]
    inside = [each.targets for each in ast.walk(kind) if isinstance(each, ast.Assign)]
    names = [ast.unparse(target) for targets in inside for target in targets]
    names += [ast.unparse(each.target) for each in ast.walk(kind) if isinstance(each, ast.AnnAssign)]
    return list(dict.fromkeys(name.removeprefix("self.") for name in names))


def wrong(tree: ast.AST) -> Iterator[str]:
    """Every section that explains other names than there are, in code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            told = entries(ast.get_docstring(node), "Args")
            if told is not None and told != parameters(node):
                yield f"{node.name}: {told}, not {parameters(node)}"
        elif isinstance(node, ast.ClassDef):
            made = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
            told = entries(ast.get_docstring(node), "Args")
            if told is not None and [told] != [*map(parameters, made)]:
                yield f"{node.name}: {told}, not {[*map(parameters, made)]}"
            told, there = entries(ast.get_docstring(node), "Attributes"), attributes(node)
            if told is not None and (told != there if is_dataclass(node) else not {*told} <= {*there}):
                yield f"{node.name}: {told}, not {there}"


@cache
def trees() -> dict[str, ast.Module]:
    """The code of edgett, by its path."""
    paths = sorted((ROOT / "edgett").rglob("*.py"))
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in paths}


def test_sections_explain_what_there_is_in_its_order() -> None:
    functions = [node for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert sum(entries(ast.get_docstring(each), "Args") is not None for each in functions) > 100
    assert not [f"{path}: {line}" for path, tree in trees().items() for line in wrong(tree)]


@pytest.mark.parametrize("name", [name for name in edgett.__all__ if name.islower()])
def test_public_functions_explain_arguments_results_and_errors(name: str) -> None:
    told = inspect.getdoc(getattr(edgett, name)) or ""
    assert entries(told, "Args") and entries(told, "Raises")
    assert re.search(r"^Returns:\n {4}\S", told, re.MULTILINE)


@pytest.mark.parametrize("name", [*INTERFACES, *(name for name in edgett.__all__ if not name.islower())])
def test_methods_of_public_classes_and_interfaces_explain_arguments(name: str) -> None:
    kind = getattr(import_module(INTERFACES.get(name, "edgett")), name)
    own = [vars(each) for each in kind.__mro__ if each.__module__.startswith("edgett.")]
    methods = {name: item for held in reversed(own) for name, item in held.items() if not name.startswith("_")}
    for name, item in methods.items():
        function = getattr(item, "__func__", item)
        if inspect.isfunction(function) and name not in KERAS and {*inspect.signature(function).parameters} - OWN:
            assert entries(function.__doc__, "Args"), name


@pytest.mark.parametrize(
    "code",
    [
        'def f(a, *, b=1):\n    """Do.\n\n    Args:\n        a: one.\n    """',
        'def f(a):\n    """Do.\n\n    Args:\n        a: one.\n        b: gone.\n    """',
        'def f(*a, **b):\n    """Do.\n\n    Args:\n        a: one.\n        b: more.\n    """',
        'class C:\n    """Be.\n\n    Args:\n        a: one.\n    """\n\n    def __init__(self, b): ...',
        '@dataclass\nclass C:\n    """Be.\n\n    Attributes:\n        a: one.\n    """\n\n    a: int\n    b: int',
        'class C:\n    """Be.\n\n    Attributes:\n        a: one.\n    """\n\n    b = 1',
    ],
)  # fmt: skip
def test_wrong_sections_are_seen(code: str) -> None:
    assert len(list(wrong(ast.parse(code)))) == 1
