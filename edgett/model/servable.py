"""An inference form as the TensorFlow function that the converters take."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from edgett.errors import ModelError
from edgett.forms.operators import Moves
from edgett.graph.op import named
from edgett.model import keras_compat
from edgett.model.activations import name_of, spelled
from edgett.model.factored import Factored
from edgett.model.trace import Call, Trace

# The name scope of the operators that an activation is spelled out in; `export.owners` looks for it.
_ACTIVATION = "_activation"
# What TensorFlow takes for the name of a scope: of an outermost one, as variables have, and of one inside another.
_ROOT = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")
_NESTED = re.compile(r"[A-Za-z0-9_.\\/>-]+")


class Servable(tf.Module):
    """Runs an inference form: named inputs of a fixed batch to named outputs.

    Every call runs under a name scope of its own, so that each operator of an exported graph can be told to belong to
    a layer: `paths` maps scopes to the paths of the layers, `producers` each output to the scopes that make it. Names
    depend on the model alone, not on what else the process has built. Raises ModelError for a name that TensorFlow
    cannot write down.
    """

    def __init__(self, form: Trace, moves: Moves = Moves.NUMBERS) -> None:
        """`moves`: how the runtime that the graph is for is fastest at the transposes of a layer in a form."""
        super().__init__(name="edgett")
        self.form, self.moves = form, moves
        refuse_unspeakable(form)
        # Keras hides its variables from tf.Module, and one that is not found is not frozen into the file.
        self.tracked = [weight.value for call in form.calls for weight in getattr(call.layer, "variables", ())]
        scopes = _scopes(form.calls)
        self.paths: Mapping[str, str] = {scope: call.path for scope, call in zip(scopes, form.calls, strict=True)}
        by_scope = dict(zip(scopes, form.calls, strict=True))
        self.producers = {name: ";".join(_makers(by_scope, tensor)) for name, tensor in form.outputs.items()}
        self.signature = [tf.TensorSpec(tensor.shape, tensor.dtype, name=name) for name, tensor in form.inputs.items()]
        self.serve = tf.function(self._run, input_signature=self.signature)

    def cast(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Inputs by name in the types that it takes."""
        return {spec.name: arrays[spec.name].astype(spec.dtype.as_numpy_dtype) for spec in self.signature}

    def _run(self, *inputs: Any) -> dict[str, Any]:
        form = self.form
        known = {id(spec): tensor for spec, tensor in zip(form.inputs.values(), inputs, strict=True)}

        def value(leaf: Any) -> Any:
            return known[id(leaf)] if isinstance(leaf, keras.KerasTensor) else leaf

        outputs: list[Any] = []
        for scope, call in zip(self.paths, form.calls, strict=True):
            args, kwargs = keras.tree.map_structure(value, (call.args, dict(call.kwargs)))
            if keras_compat.takes_training(call.layer):
                kwargs["training"] = False
            # The dependency keeps the converters from running the calls in another order than the one predicted, the
            # stopped gradient keeps tf2onnx from fusing one call with the next.
            with tf.name_scope(scope), tf.control_dependencies(outputs), _apart(call.layer), self._moving(call.layer):
                outputs = [tf.stop_gradient(made) for made in keras.tree.flatten(call.layer(*args, **kwargs))]
            known.update((id(spec), output) for spec, output in zip(call.writes, outputs, strict=True))
        return {
            name: tf.identity(known[id(tensor)], name=f"{_clean(name)}_out") for name, tensor in form.outputs.items()
        }

    @contextmanager
    def _moving(self, layer: Any) -> Iterator[None]:
        """While a layer in a form runs, it moves its numbers so."""
        if not isinstance(layer, Factored):
            yield
            return
        before, layer.moves = layer.moves, self.moves
        try:
            yield
        finally:
            layer.moves = before


@contextmanager
def _apart(layer: Any) -> Iterator[None]:
    """While the layer runs, its activation has a name scope of its own: what it is spelled out in counts as no work."""
    function = vars(layer).get("activation")
    if function is None:
        yield
        return

    def scoped(x: Any) -> Any:
        with tf.name_scope(_ACTIVATION):
            # Stopped here as well: what is added to x may not become one with what is added inside.
            return spelled(function)(tf.stop_gradient(x))

    layer.activation = scoped
    try:
        yield
    finally:
        layer.activation = function


def _makers(calls: Mapping[str, Call], tensor: Any) -> Iterator[str]:
    """The scope of the call that makes a tensor, then those of the calls that may be fused into it."""
    while made := next(((scope, call) for scope, call in calls.items() if _makes(call, tensor)), None):
        scope, call = made
        name = name_of(getattr(call.layer, "activation", keras.activations.linear))
        yield scope if named(name).rides else f"{scope}/{_ACTIVATION}/"
        if not named(name).rides or len(call.reads) != 1 or getattr(call.layer, "weights", []):
            return
        tensor = call.reads[0]


def _makes(call: Call, tensor: Any) -> bool:
    return any(made is tensor for made in call.writes)


def refuse_unspeakable(form: Trace) -> None:
    """Raise a ModelError for the name of an input or of a layer that TensorFlow cannot write down, or tell apart.

    An input is an argument of its function, in whose name all but letters and digits is "_". The outputs' names are
    told in the files alone, whatever they are: any text that can be stored will do.
    """
    layers = [call.layer for call in form.calls if isinstance(call.layer, keras.layers.Layer)]
    named = [("input", name, _ROOT) for name in form.inputs]
    named += [("layer", layer.name, _ROOT if layer.weights else _NESTED) for layer in layers]
    for what, name, allowed in named:
        if not allowed.fullmatch(name):
            raise ModelError(
                f"{what} {name!r} cannot be exported under its name.",
                "Rename it: letters, digits and _ . - / > are allowed, a letter or a digit first.",
            )
    for name in form.outputs:
        if not name or name.encode(errors="replace").decode() != name:
            raise ModelError(f"output {name!r} cannot be exported under its name.", "Rename it.")
    arguments: dict[str, str] = {}
    for name in form.inputs:
        other = arguments.setdefault(re.sub(r"\W", "_", name), name)
        if other != name:
            raise ModelError(
                f"inputs {other!r} and {name!r} cannot be told apart in an exported file.",
                "Rename one of them: names that differ in . - / > alone are the same there.",
            )


def refuse_unquantisable(form: Trace) -> None:
    """Raise a ModelError for what TensorFlow's converter to int8 breaks down on, and takes the process along."""
    recurrent = (keras.layers.RNN, keras.layers.Bidirectional)
    if names := dict.fromkeys(call.path for call in form.calls if isinstance(call.layer, recurrent)):
        raise ModelError(
            f"recurrent layers cannot be exported in int8: {', '.join(names)}.",
            "Leave them in float32: --dtype float32.",
        )


def _scopes(calls: tuple[Call, ...]) -> list[str]:
    """A scope for each call: its path without what TensorFlow forbids, numbered where it stands twice.

    TensorFlow ignores case: it would number FC after fc itself, and nobody could read the scope off its operators.
    """
    scopes: list[str] = []
    taken: set[str] = set()
    for call in calls:
        scope, number = _clean(call.path), 2
        while scope.lower() in taken:
            scope, number = f"{_clean(call.path)}.{number}", number + 1
        scopes.append(scope)
        taken.add(scope.lower())
    return scopes


def _clean(name: str) -> str:
    text = re.sub(r"[^A-Za-z0-9_.-]", ".", name)
    return text if text[0].isalnum() else f"x{text}"
