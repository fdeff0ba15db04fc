"""`Factored`: a dense layer whose weight is held in a form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgett.forms.operators import Add, Moves, Mul, Operator, Product, Reshape, Transpose, sources
from edgett.forms.spec import Spec
from edgett.model.in_form import LayerInForm


@keras.saving.register_keras_serializable(package="edgett")
class Factored(LayerInForm):
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

    def __init__(self, spec: Spec | Mapping[str, Any], **settings: Any) -> None:
        """Make the layer; see `LayerInForm`, whose settings it has."""
        super().__init__(spec, **settings)
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: self.spec.matrix[0]})

    def _make(self, input_shape: Any) -> None:
        spread = keras.initializers.RandomNormal(stddev=self.spec.deviation())
        self.factors = [
            self.add_weight(name=f"factor_{index}", shape=shape, initializer=spread)
            for index, shape in enumerate(self.spec.factors)
        ]
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.spec.matrix[1],),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        # As in `Dense`, which multiplies integers by floats.
        inputs = tf.cast(inputs, self.compute_dtype)
        many = math.prod(size or 1 for size in inputs.shape[1:-1])
        outputs = in_rows(inputs, lambda rows: self._product(rows, training, many))
        if self.bias is not None:
            outputs = tf.nn.bias_add(outputs, tf.cast(self.bias, outputs.dtype))
        return self.activation(outputs)

    def contract(self, inputs: Any, between: Callable[[Any], Any] | None = None) -> Any:
        """The product of inputs with the weight, operator by operator, as the spec plans it.

        Args:
            inputs: a tensor (batch, X).
            between: changes what an operator has computed before the next one computes with it; None: nothing does.

        Returns:
            A tensor (batch, Y), the bias left out.
        """
        plan = self.spec.plan(inputs.shape[0], self.moves)
        tensors, left = [inputs], sum(map(_computes, plan))
        for operator, reads in zip(plan, sources(plan), strict=True):
            made = self._run(operator, *(tensors[each] for each in reads))
            left -= _computes(operator)
            tensors.append(between(made) if between and left and _computes(operator) else made)
        return tensors[-1]

    def by_matrix(self, index: int, change: Callable[[Any], Any]) -> Any:
        """Change a factor as the matrix, or the vector, that files hold for it.

        Args:
            index: that of the factor.
            change: takes a tensor (inner, columns) or (columns,) to one of its shape.

        Returns:
            A tensor of the factor's shape.
        """
        factor = tf.convert_to_tensor(self.factors[index])
        match next(one for one in self.spec.plan() if getattr(one, "factor", None) == index):
            case Product(_, _, inner, columns, axes):
                turned = tf.transpose(factor, axes) if axes else factor
                changed = tf.reshape(change(tf.reshape(turned, (inner, columns))), turned.shape)
                return tf.transpose(changed, np.argsort(axes)) if axes else changed
            case Mul(_, _, columns):
                return tf.reshape(change(tf.reshape(factor, (columns,))), factor.shape)

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


def _computes(operator: Operator) -> bool:
    return isinstance(operator, (Product, Mul, Add))


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
