"""What a converter says of a model that it does not take, in the user's words."""

from __future__ import annotations

import re
from collections.abc import Iterable

from edgett.errors import ModelError

_OPERATORS = (
    re.compile(r"No Op registered for (\w+)"),
    re.compile(r"(?:Tensorflow|tensorflow) op \[[^\]]*?: (\w+)\] is not supported"),
    re.compile(r"[Nn]ode ['\"]?[\w./-]*['\"]? ?\(?op: ?['\"]?(\w+)"),
    re.compile(r'fused\["(\w+):"'),
)
"""How converters name the operator that they stop at."""
_CURES = {
    "Name collision": "Rename one of the two: letters, digits and _ , and different even where . and _ are the same.",
}


def refused(converter: str, paths: Iterable[tuple[str, str]], error: Exception) -> ModelError:
    """What to raise for an error of a converter; `paths`: the scope of each call of the model, and its layer's path."""
    said = " ".join(str(error).split())
    layer = next((path for scope, path in paths if re.search(rf"(?<![\w./-]){re.escape(scope)}/", said)), None)
    operator = next((found[1] for pattern in _OPERATORS if (found := pattern.search(said))), None)
    where = f"layer {layer!r}" if layer else "the model"
    why = f"it has nothing for {operator}" if operator and layer else said[:300].rstrip(".")
    cure = next(
        (cure for words, cure in _CURES.items() if words in said),
        f"Replace {'that layer' if layer else 'what it names'}, or leave it out and do its work before the model.",
    )
    return ModelError(f"{converter} cannot convert {where}: {why}.", cure)
