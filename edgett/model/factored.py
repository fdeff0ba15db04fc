"""`Factored`: a dense layer whose weight is held in a form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from edgett.forms import catalogue
from edgett.forms.operators import Add, Moves, Mul, Operator, Product, Reshape, Transpose, sources
from edgett.forms.spec import Factors, Spec


@keras.saving.register_keras_serializable(package="edgett")
class Factored(keras.layers.Layer):
    """Maps (batch, ..., X) to (batch, ..., Y) as `Dense` does, with the factors of a form in place of the weight X x Y.

    Each factor is a trainable weight. A batch meets one after the other when the layer infers, which is what is
    exported. A training batch may meet the dense weight rebuilt from them instead, where that costs less for its size;
    the result is the same to float32 rounding.

    Attributes:
        moves: what the transposes between factors move; the results are the same.
        training_rows: the size that a training batch is taken for while its shape does not tell.
        inference_rows: the same for inference, which may meet the rebuilt weight then; None: it meets the factors.
    """

    moves = Moves.NUMBERS
    training_rows = 128
    inference_rows: int | None = None

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
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: self.spec.matrix[0]})
        self.factors: list[Any] = []
        self.bias: Any = None

    @classmethod
    def from_dense(cls, layer: keras.layers.Dense, spec: Spec, factors: Factors | None = None) -> Self:
        """Make the layer that stands in for a built `Dense`: same name, bias and activation, its weight decomposed.

        Args:
            layer: the dense layer, of weight (X, Y).
            spec: the form for its weight.
            factors: those of the spec, where they are known already; None: the best ones.

        Returns:
            The built layer.

        Raises:
            ValueError: when the sizes differ.
        """
        kept = {name: getattr(layer, name) for name in _SHARED_WITH_DENSE}
        twin = cls._holding(spec, dtype=layer.dtype_policy, **kept)
        twin.build((None, spec.matrix[0]))
        weights = list(spec.best(np.asarray(layer.kernel)) if factors is None else factors)
        twin.set_weights(weights + ([np.asarray(layer.bias)] if layer.use_bias else []))
        return twin

    @classmethod
    def _holding(cls, spec: Spec, **keywords: Any) -> Self:
        return cls(spec, **keywords)

    def build(self, input_shape: Any) -> None:
        outputs = self.spec.matrix[1]
        spread = keras.initializers.RandomNormal(stddev=self.spec.deviation())
        self.factors = [
            self.add_weight(name=f"factor_{index}", shape=shape, initializer=spread)
            for index, shape in enumerate(self.spec.factors)
        ]
        if self.kernel_regularizer is not None:
            # Held by one factor, for all: so it counts once however often the layer is called, as in `Dense`.
            self.factors[0].regularizer = lambda factor: self.kernel_regularizer(self.kernel())
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(outputs,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        # As in `Dense`, which multiplies integers by floats.
        inputs = tf.cast(inputs, self.compute_dtype)
        many = math.prod(size or 1 for size in inputs.shape[1:-1])
        outputs = in_rows(inputs, lambda rows: self._product(rows, training, many))
        if self.bias is not None:
            outputs = tf.nn.bias_add(outputs, tf.cast(self.bias, outputs.dtype))
        return self.activation(outputs)

    def kernel(self) -> Any:
        """Multiply the factors out to the dense weight: a tensor (X, Y)."""
        return self.spec.rebuild([tf.convert_to_tensor(factor) for factor in self.factors], tf)

    def contract(self, inputs: Any) -> Any:
        """The product of inputs with the weight, operator by operator, as the spec plans it.

        Args:
            inputs: a tensor (batch, X).

        Returns:
            A tensor (batch, Y), the bias left out.
        """
        plan = self.spec.plan(inputs.shape[0], self.moves)
        tensors = [inputs]
        for operator, reads in zip(plan, sources(plan), strict=True):
            tensors.append(self._run(operator, *(tensors[each] for each in reads)))
        return tensors[-1]

    def _run(self, operator: Operator, tensor: Any, *others: Any) -> Any:
        match operator:
            case Product(factor, _, inner, columns, axes):
                matrix = tf.convert_to_tensor(self.factors[factor])
                matrix = tf.transpose(matrix, axes) if axes else matrix
                return tf.matmul(tensor, tf.reshape(matrix, (inner, columns)))
            case Reshape(dims):
                return tf.reshape(tensor, dims)
            case Transpose():
                return tf.transpose(tensor, operator.axes)
            case Mul(factor, _, columns):
                return tf.multiply(tensor, tf.reshape(tf.convert_to_tensor(self.factors[factor]), (columns,)))
            case Add():
                return tf.add(tensor, *others)

    def _product(self, inputs: Any, training: bool | None, many: int) -> Any:
        """`many`: the rows of a sample."""
        samples = self.training_rows if training else self.inference_rows
        if samples is not None and (inputs.shape[0] or samples * many) >= self.spec.rebuild_from():
            return tf.matmul(inputs, self.kernel())
        return self.contract(inputs)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.spec.matrix[1])

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


def in_rows(inputs: Any, product: Callable[[Any], Any]) -> Any:
    """Apply a product of rows to each position of each sample.

    Args:
        inputs: a tensor (batch, ..., X).
        product: takes a tensor (rows, X) to (rows, Y).

    Returns:
        A tensor (batch, ..., Y).
    """
    if len(inputs.shape) == 2:
        return product(inputs)
    *before, features = inputs.shape
    unknown = before.count(None)
    made = product(tf.reshape(inputs, (-1 if unknown else math.prod(before), features)))
    sizes = [-1 if size is None else size for size in before] if unknown < 2 else tf.unstack(tf.shape(inputs))[:-1]
    return tf.reshape(made, (*sizes, made.shape[-1]))


_SHARED_WITH_DENSE = frozenset(
    "name trainable activation use_bias bias_initializer kernel_regularizer bias_regularizer activity_regularizer "
    "bias_constraint".split()
)
