"""`TTDense`: a dense layer whose weight is a tensor train."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgett.nn.decompose import Cores, tt_svd
from edgett.space.contraction import Moves, Product, Reshape, matrix_axes, plan
from edgett.space.cost import rebuild_from
from edgett.values import Order, TTShape


@keras.saving.register_keras_serializable(package="edgett")
class TTDense(keras.layers.Layer):
    """Maps (batch, X) to (batch, Y) as `Dense` does, with a tensor train in place of the weight X x Y.

    `inputs` x_1..x_L and `outputs` y_1..y_L factorise X and Y, `ranks` are r_0..r_L with r_0 = r_L = 1; core i has
    T3F's layout (r_{i-1}, x_i, y_i, r_i) and is a trainable weight named `core_i`. The other arguments are those of
    `keras.layers.Dense`; a kernel regulariser sees the dense weight that the cores stand for.

    A batch meets the cores one after the other when the layer infers, which is what is exported. A training batch may
    meet the dense weight rebuilt from the cores instead, where that costs less for its size; the result is the same to
    float32 rounding. `training_rows` is the size that a training batch is taken for while its shape does not tell.
    With `inference_rows`, such a size, inference may do so too. `moves` says how cores are met one after the other.
    """

    moves = Moves.NUMBERS
    training_rows = 128
    inference_rows: int | None = None

    def __init__(
        self,
        inputs: Sequence[int],
        outputs: Sequence[int],
        ranks: Sequence[int],
        order: Order | str = Order.LAST_FIRST,
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
        super().__init__(activity_regularizer=activity_regularizer, **keywords)
        self.shape = TTShape(tuple(inputs), tuple(outputs), tuple(ranks), Order(order))
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={-1: self.shape.matrix[0]})
        self.cores: list[Any] = []
        self.bias: Any = None

    @classmethod
    def from_dense(cls, layer: keras.layers.Dense, shape: TTShape, cores: Cores | None = None) -> TTDense:
        """The TT layer that stands in for a built `Dense`: same name, bias and activation, cores from TT-SVD.

        `cores` may be given when they are known already. Raises ValueError when the sizes differ.
        """
        kept = {name: getattr(layer, name) for name in _SHARED_WITH_DENSE}
        twin = cls(shape.inputs, shape.outputs, shape.ranks, shape.order, dtype=layer.dtype_policy, **kept)
        twin.build((None, shape.matrix[0]))
        weights = list(tt_svd(np.asarray(layer.kernel), shape) if cores is None else cores)
        twin.set_weights(weights + ([np.asarray(layer.bias)] if layer.use_bias else []))
        return twin

    @classmethod
    def from_t3f(cls, train: Any, order: Order | str = Order.LAST_FIRST, **keywords: Any) -> TTDense:
        """The built layer whose weight is a matrix in T3F's form.

        Args:
            train: a `t3f.TensorTrain` of shape (X, Y), its cores (r_{i-1}, x_i, y_i, r_i); they are copied as float32.
            order: which core the input meets first; T3F's form does not say.
            **keywords: the layer's others. T3F has no bias: it starts from `bias_initializer`, unless `use_bias=False`.

        Raises:
            ValueError: for a batch of matrices, for a tensor in TT form that is no matrix, for fewer than two cores.
        """
        import t3f

        if not isinstance(train, t3f.TensorTrain) or not train.is_tt_matrix():
            raise ValueError(f"{train} is no matrix in TT form: give a t3f.TensorTrain whose cores have four axes")
        cores = [np.asarray(core) for core in train.tt_cores]
        befores, inputs, outputs, afters = zip(*(core.shape for core in cores), strict=True)
        layer = cls(inputs, outputs, (*befores, afters[-1]), order, **keywords)
        layer.build((None, layer.shape.matrix[0]))
        for mine, theirs in zip(layer.cores, cores, strict=True):
            mine.assign(theirs)
        return layer

    def to_t3f(self) -> Any:
        """The weight as a `t3f.TensorTrain` of shape (X, Y), its cores (r_{i-1}, x_i, y_i, r_i) as the layer has them.

        The bias and the order of the cores stay behind; a gradient tape follows T3F's operations back to the layer.
        Raises ValueError while the layer is not built.
        """
        import t3f

        if not self.built:
            raise ValueError(f"layer {self.name!r} has no cores yet: call it, or build((None, {self.shape.matrix[0]}))")
        return t3f.TensorTrain([tf.convert_to_tensor(core) for core in self.cores], tt_ranks=list(self.shape.ranks))

    def build(self, input_shape: Any) -> None:
        outputs = self.shape.matrix[1]
        self.cores = [
            self.add_weight(
                name=f"core_{index}", shape=core, initializer=keras.initializers.RandomNormal(stddev=self.deviation)
            )
            for index, core in enumerate(self.shape.cores)
        ]
        if self.kernel_regularizer is not None:
            # Held by one core, for all: so it counts once however often the layer is called, as in `Dense`.
            self.cores[0].regularizer = lambda core: self.kernel_regularizer(self.kernel())
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(outputs,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.built = True

    @property
    def deviation(self) -> float:
        """The standard deviation of the cores' entries before training.

        Every entry of the rebuilt weight is a sum over all paths through the ranks of products of L entries; this
        spread gives it the variance of Glorot's initialisation.
        """
        return math.sqrt(2 / sum(self.shape.matrix) / math.prod(self.shape.ranks)) ** (1 / self.shape.length)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        # As in `Dense`, which multiplies integers by floats.
        outputs = self._product(tf.cast(inputs, self.compute_dtype), training)
        if self.bias is not None:
            outputs = tf.nn.bias_add(outputs, tf.cast(self.bias, outputs.dtype))
        return self.activation(outputs)

    def kernel(self) -> Any:
        """The dense weight (X, Y), rebuilt from the last core on: so the copies move the longest runs."""
        *others, last = map(tf.convert_to_tensor, self.cores)
        weight = tf.reshape(last, last.shape[:-1])
        for core in reversed(others):
            before, x, y, after = core.shape
            _, rows, columns = weight.shape
            weight = tf.matmul(tf.reshape(core, (-1, after)), tf.reshape(weight, (after, -1)))
            weight = tf.transpose(tf.reshape(weight, (before, x, y, rows, columns)), (0, 1, 3, 2, 4))
            weight = tf.reshape(weight, (before, x * rows, y * columns))
        return tf.reshape(weight, self.shape.matrix)

    def contract(self, inputs: Any) -> Any:
        """The product with the weight, core by core, as `space.contraction` plans it."""
        tensor = inputs
        for operator in plan(self.shape, inputs.shape[0], self.moves):
            if isinstance(operator, Product):
                axes = matrix_axes(self.shape, operator.core, self.moves)
                core = tf.transpose(tf.convert_to_tensor(self.cores[operator.core]), axes)
                tensor = tf.matmul(tensor, tf.reshape(core, (operator.inner, operator.columns)))
            elif isinstance(operator, Reshape):
                tensor = tf.reshape(tensor, operator.dims)
            else:
                tensor = tf.transpose(tensor, operator.axes)
        return tensor

    def _product(self, inputs: Any, training: bool | None) -> Any:
        rows = self.training_rows if training else self.inference_rows
        if rows is not None and (inputs.shape[0] or rows) >= rebuild_from(self.shape):
            return tf.matmul(inputs, self.kernel())
        return self.contract(inputs)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.shape.matrix[1])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "inputs": list(self.shape.inputs),
            "outputs": list(self.shape.outputs),
            "ranks": list(self.shape.ranks),
            "order": self.shape.order.value,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }


_SHARED_WITH_DENSE = frozenset(
    "name trainable activation use_bias bias_initializer kernel_regularizer bias_regularizer activity_regularizer "
    "bias_constraint".split()
)
