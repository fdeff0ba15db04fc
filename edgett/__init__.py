"""edgett makes a trained Keras model fit a device: its layers are held in low-rank forms, tensor trains above all."""

from importlib import import_module
from typing import Any

_HOMES = {
    "compress": "edgett.api",
    "explore": "edgett.api",
    "explore_sizes": "edgett.api",
    "explore_whole": "edgett.api",
    "load_target": "edgett.target.profile",
    "TTDense": "edgett.model.tt_dense",
    "TTShape": "edgett.forms.tt.shape",
    "Layer": "edgett.forms.site",
    "Search": "edgett.forms.front",
    "Outcome": "edgett.workflow.outcome",
    "EdgettError": "edgett.errors",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """The public names are imported when they are first used: most need TensorFlow, `edgett --help` does not."""
    if name == "__version__":
        from importlib.metadata import version

        return version("edgett")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'edgett' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
