"""What all layers have in common whose weight is held in a form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from edgett.forms import catalogue
from edgett.forms.spec import Factors, Spec


class LayerInForm(keras.layers.Layer):
    """A layer with the factors of a form in place of a weight (X, Y), a bias and an activation as Keras has them.

    Each factor is a trainable weight, the bias the last one. Who derives from it makes them in `_make`, and computes.
    """

    def __init__(
        self,
        spec: Spec | Mapping[str, Any],
        *,
        activation: Any = None,
        use_bias: bool = True,
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        bias_constraint: Any = None,
        **keywords: Any,
    ) -> None:
        """Make the layer; it has factors once it is built.

        Args:
            spec: the form with its sizes, as a value or as what `edgett.forms.catalogue.document` says of one.
            activation: this and the others as in `keras.layers.Dense`.
            use_bias: whether Y numbers are added.
            bias_initializer: what they start from.
            kernel_regularizer: sees the dense weight (X, Y) that the factors stand for.
            bias_regularizer: sees the bias.
            activity_regularizer: sees the outputs.
            bias_constraint: holds the bias.
            **keywords: those of `keras.layers.Layer`.

        Raises:
            ValueError: for a document that tells of no spec.
        """
        super().__init__(activity_regularizer=activity_regularizer, **keywords)
        self.spec = spec if isinstance(spec, Spec) else catalogue.read(spec)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.factors: list[Any] = []
        self.bias: Any = None

    @classmethod
    def from_dense(cls, layer: Any, spec: Spec, factors: Factors | None = None) -> Self:
        """Make the layer that stands in for a built one: same name, bias and activation, its weight decomposed.

        Args:
            layer: the dense layer, or the convolution, of weight (X, Y).
            spec: the form for its weight.
            factors: those of the spec, where they are known already; None: the best ones.

        Returns:
            The built layer.

        Raises:
            ValueError: when the sizes differ.
        """
        twin = cls._like(layer, spec)
        weight = np.asarray(layer.kernel).reshape(-1, layer.kernel.shape[-1])
        twin.hold(spec.best(weight) if factors is None else factors, layer.bias)
        return twin

    def hold(self, factors: Factors, bias: Any) -> None:
        """Assign the numbers of the layer.

        Args:
            factors: one array a factor, of the shapes of the spec's.
            bias: (Y,) numbers; not looked at where the layer has none.
        """
        for mine, theirs in zip(self.factors, factors, strict=True):
            mine.assign(np.reshape(theirs, mine.shape))
        if self.use_bias:
            self.bias.assign(bias)

    def held(self) -> Factors:
        """Copy the factors.

        Returns:
            One array a factor, of the shapes of the spec's.
        """
        pairs = zip(self.factors, self.spec.factors, strict=True)
        return tuple(np.asarray(factor, np.float32).reshape(shape) for factor, shape in pairs)

    @classmethod
    def _like(cls, layer: Any, spec: Spec, **more: Any) -> Self:
        """A built layer with the settings of another one."""
        kept = {name: getattr(layer, name) for name in _SHARED if hasattr(layer, name)}
        twin = cls._holding(spec, dtype=layer.dtype_policy, **kept, **more)
        twin.build(cls._entry(spec, layer))
        return twin

    @classmethod
    def _holding(cls, spec: Spec, **keywords: Any) -> Self:
        return cls(spec, **keywords)

    @classmethod
    def _entry(cls, spec: Spec, layer: Any) -> tuple[int | None, ...]:
        """The shape of an input for which a layer like this one is built."""
        return None, spec.matrix[0]

    def build(self, input_shape: Any) -> None:
        self._make(input_shape)
        if self.kernel_regularizer is not None:
            # Held by one factor, for all: so it counts once however often the layer is called, as in `Dense`.
            self.factors[0].regularizer = lambda factor: self.kernel_regularizer(self.kernel())
        self.built = True

    def _make(self, input_shape: Any) -> None:
        """Make the factors and the bias."""
        raise NotImplementedError

    def kernel(self) -> Any:
        """Multiply the factors out to the dense weight: a tensor (X, Y)."""
        pairs = zip(self.factors, self.spec.factors, strict=True)
        return self.spec.rebuild([tf.reshape(tf.convert_to_tensor(factor), shape) for factor, shape in pairs], tf)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "spec": catalogue.document(self.spec),
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }


_SHARED = frozenset(
    "name trainable activation use_bias bias_initializer kernel_regularizer bias_regularizer activity_regularizer "
    "bias_constraint".split()
)
