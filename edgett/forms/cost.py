"""What a layer costs for one sample, dense and in a form.

Parameters count every number stored, the bias included. FLOPs count a multiplication as one and an addition as one.
"""

from __future__ import annotations

from edgett.forms.operators import Convolve, Product, moved, peak
from edgett.forms.site import Cost, Layer
from edgett.forms.spec import Spec


def dense(layer: Layer) -> Cost:
    """What the dense layer costs for one sample: XY + Y parameters, 2XY + Y FLOPs a position.

    Args:
        layer: a layer of weight (X, Y).

    Returns:
        Its cost; without a bias, XY and 2XY.
    """
    product, bias, rows = layer.inputs * layer.outputs, layer.outputs * layer.bias, layer.positions
    return Cost(
        params=product + bias,
        flops=rows * (2 * product + bias),
        peak_elements=layer.reads + layer.writes,
        macs=rows * product,
    )


def held(layer: Layer, spec: Spec) -> Cost:
    """What a layer costs for one sample in a form: what its plan adds up to, and the bias.

    Args:
        layer: a fully connected layer of weight (X, Y).
        spec: how its weight is held.

    Returns:
        Its cost.

    Raises:
        ValueError: when the spec is of another size.
    """
    if spec.matrix != (layer.inputs, layer.outputs):
        raise ValueError(f"{spec} is {spec.matrix[0]}x{spec.matrix[1]}, layer {layer.name!r} is not")
    rows, bias = layer.positions, layer.outputs * layer.bias
    plan = spec.plan(layer.reads // spec.reads)
    # A bias rides on what comes last, where that multiplies by a matrix.
    added = 0 if isinstance(plan[-1], (Product, Convolve)) else 2 * rows * bias
    return Cost(
        params=spec.params + bias,
        flops=sum(operator.flops for operator in plan) + rows * bias,
        peak_elements=max(peak(plan, layer.reads), added),
        moved_elements=moved(plan),
        macs=sum(operator.macs for operator in plan),
    )
