"""What a model of Keras 2 was compiled with, as Keras 3 would have written it."""

from __future__ import annotations

from typing import Any

import keras

from edgett.model.keras2.calls import Config, Untranslatable, settings_of

_ACCURACIES = frozenset({"binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy"})

_GONE: dict[str, tuple[tuple[str, str, object], ...]] = {
    "losses": (("2.14.0", "fn", ...),),
    "metrics": (("2.12.0", "fn", ...),),
    "optimizers": (
        ("2.14.0", "is_legacy_optimizer", ...),
        ("2.14.0", "jit_compile", ...),  # how, not what
        ("2.4.0", "decay", 0.0),
        ("2.4.0", "initial_decay", 0.0),
    ),
}
"""Settings that Keras 3 does not know: where seen, and the value with which nothing is lost (...: any)."""


def compilation(config: Config) -> Config:
    """From the `training_config` of an HDF5 file or the `compile_config` of an archive. Raises Untranslatable."""
    optimizer = config.get("optimizer_config", config.get("optimizer"))
    return {
        "optimizer": _optimizer(optimizer) if isinstance(optimizer, dict) else optimizer,
        "loss": _mapped(config.get("loss"), _loss),
        "metrics": _listed(_mapped(config.get("metrics"), _metric)),
        "weighted_metrics": _listed(_mapped(config.get("weighted_metrics"), _metric)),
        "loss_weights": config.get("loss_weights"),
    }


def _mapped(value: Any, translate: Any) -> Any:
    """Everything in a structure that stands for one loss or metric."""
    if isinstance(value, list):
        return [_mapped(item, translate) for item in value]
    if isinstance(value, dict) and "class_name" not in value:
        return {key: _mapped(item, translate) for key, item in value.items()}
    return translate(value)


def _listed(metrics: Any) -> Any:
    """Those of one output, which Keras 2 writes as those of several."""
    return metrics[0] if isinstance(metrics, list) and len(metrics) == 1 and isinstance(metrics[0], list) else metrics


def _loss(value: Any) -> Any:
    if not isinstance(value, dict) or value.get("class_name") == "function":
        return value
    found = _object("losses", value)
    if found["config"].get("reduction") == "auto":
        found["config"]["reduction"] = "sum_over_batch_size"
    return found


def _metric(value: Any) -> Any:
    if not isinstance(value, dict) or value.get("class_name") == "function":
        return value
    settings = settings_of(value)
    name = str(value.get("class_name")).rpartition(">")[2]
    function = settings.get("fn")
    if name not in ("MeanMetricWrapper", "SumOverBatchSizeMetricWrapper"):
        return _object("metrics", value)
    if isinstance(function, dict):
        function = function.get("config")
    if function in _ACCURACIES:
        return "accuracy"  # of which Keras made one before it had seen any labels
    kind = "".join(part.title() for part in str(function).split("_"))
    if isinstance(getattr(keras.metrics, kind, None), type):
        return _known("metrics", kind, {"name": settings.get("name")})
    return str(function)


def _optimizer(value: Config) -> Config:
    settings = settings_of(value)
    rate, decay = settings.get("learning_rate", settings.get("lr")), settings.get("decay")
    found = _object("optimizers", {**value, "config": {**settings, "decay": 0.0} if "decay" in settings else settings})
    if isinstance(rate, dict):
        found["config"]["learning_rate"] = _known(
            "optimizers.schedules", str(rate.get("class_name")), dict(rate.get("config") or {})
        )
    elif decay and isinstance(rate, (int, float)):  # seen in 2.4.0: the rate falls as 1 / (1 + decay x steps)
        schedule = {"initial_learning_rate": rate, "decay_steps": 1, "decay_rate": decay}
        found["config"]["learning_rate"] = _known("optimizers.schedules", "InverseTimeDecay", schedule)
    return found


def _object(kind: str, value: Config) -> Config:
    name = str(value.get("class_name")).rpartition(">")[2]
    settings = settings_of(value)
    result = dict(settings)
    for _, key, neutral in _GONE[kind]:
        if key in result and (found := result.pop(key)) != neutral and neutral is not ...:
            raise Untranslatable(f"its {name} has {key} {found!r}")
    if not isinstance(getattr(getattr(keras, kind), name, None), type):
        return {"module": None, "class_name": name, "config": result, "registered_name": name}
    return _known(kind, name, result)


def _known(module: str, name: str, config: Config) -> Config:
    return {"module": f"keras.{module}", "class_name": name, "config": config, "registered_name": None}
