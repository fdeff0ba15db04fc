"""`TTDense`: a dense layer whose weight is a tensor train, for those who write one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgett.forms.tt.order import Order
from edgett.forms.tt.shape import TTShape
from edgett.model.factored import Factored


@keras.saving.register_keras_serializable(package="edgett")
class TTDense(Factored):
    """Maps (batch, ..., X) to (batch, ..., Y) as `Dense` does, with a tensor train in place of the weight X x Y.

    Core i has T3F's layout (r_{i-1}, x_i, y_i, r_i), and is the i-th trainable weight.

    Args:
        inputs: the factorisation x_1..x_L of X.
        outputs: the factorisation y_1..y_L of Y, of the same length.
        ranks: r_0..r_L, with r_0 = r_L = 1.
        order: which core the input meets first.
        **keywords: the other arguments of `Factored`, which are those of `keras.layers.Dense`.

    Raises:
        ValueError: for lengths that differ or are below 2, and for outer ranks that are not 1.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        outputs: Sequence[int],
        ranks: Sequence[int],
        order: Order | str = Order.LAST_FIRST,
        **keywords: Any,
    ) -> None:
        super().__init__(TTShape(tuple(inputs), tuple(outputs), tuple(ranks), Order(order)), **keywords)

    @property
    def shape(self) -> TTShape:
        """Its factorisation and ranks."""
        assert isinstance(self.spec, TTShape)
        return self.spec

    @property
    def cores(self) -> list[Any]:
        """The trainable cores, (r_{i-1}, x_i, y_i, r_i) each."""
        return self.factors

    @classmethod
    def from_t3f(cls, train: Any, order: Order | str = Order.LAST_FIRST, **keywords: Any) -> TTDense:
        """Make the built layer whose weight is a TT-matrix of T3F.

        Args:
            train: a `t3f.TensorTrain` of shape (X, Y), its cores (r_{i-1}, x_i, y_i, r_i); they are copied as float32.
            order: which core the input meets first; T3F's form does not say.
            **keywords: the layer's others. T3F has no bias: it starts from `bias_initializer`, unless `use_bias=False`.

        Returns:
            The layer.

        Raises:
            ValueError: for a batch of matrices, for a tensor in TT form that is no matrix, for fewer than two cores.
        """
        import t3f

        if not isinstance(train, t3f.TensorTrain) or not train.is_tt_matrix():
            raise ValueError(f"{train} is no matrix in TT form: give a t3f.TensorTrain whose cores have four axes")
        cores = [np.asarray(core) for core in train.tt_cores]
        befores, inputs, outputs, afters = zip(*(core.shape for core in cores), strict=True)
        layer = cls(inputs, outputs, (*befores, afters[-1]), order, **keywords)
        layer.build((None, layer.spec.matrix[0]))
        for mine, theirs in zip(layer.cores, cores, strict=True):
            mine.assign(theirs)
        return layer

    def to_t3f(self) -> Any:
        """Give the weight as a TT-matrix of T3F; the bias and the order of the cores stay behind.

        Returns:
            A `t3f.TensorTrain` of shape (X, Y), its cores (r_{i-1}, x_i, y_i, r_i) as the layer has them; a gradient
                tape follows T3F's operations back to the layer.

        Raises:
            ValueError: while the layer is not built.
        """
        import t3f

        if not self.built:
            raise ValueError(f"layer {self.name!r} has no cores yet: call it, or build((None, {self.spec.matrix[0]}))")
        return t3f.TensorTrain([tf.convert_to_tensor(core) for core in self.cores], tt_ranks=list(self.shape.ranks))

    @classmethod
    def _holding(cls, spec: Any, **keywords: Any) -> TTDense:
        return cls(spec.inputs, spec.outputs, spec.ranks, spec.order, **keywords)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        spec = config.pop("spec")
        return config | {name: value for name, value in spec.items() if name != "form"}
