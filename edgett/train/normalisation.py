"""Batch normalisation of images in one operator of TensorFlow while a model trains.

Keras computes it in a dozen passes over the image and as many back; a third of a training step of ResNet-8 went there.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import keras
import tensorflow as tf

from edgett.model import keras_compat

RANKS = (3, 4)
"""The axes of sequences and images, the batch among them."""


def fuse(model: keras.Model) -> None:
    """Have the batch normalisations of a model computed in one operator each while it trains.

    What they make, their gradients and their moving statistics stay the same to float32 rounding; outside of training
    nothing changes.

    Args:
        model: built; it is changed, and saves as before.
    """
    for layer in keras_compat.nested(model):
        if type(layer) is keras.layers.BatchNormalization and _able(layer):
            layer.call = MethodType(_call, layer)


def _able(layer: Any) -> bool:
    """Whether it is a plain one over the last axis, in float32."""
    special = getattr(layer, "synchronized", False) or getattr(layer, "renorm", False)
    return not special and layer.compute_dtype == layer.variable_dtype == "float32"


def _call(layer: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    """What a layer does with (batch, ..., channels)."""
    rank = len(inputs.shape)
    last = layer.axis in (-1, rank - 1) and inputs.dtype == tf.float32
    if not (training and layer.trainable and last and rank in RANKS and mask is None):
        return type(layer).call(layer, inputs, training=training, mask=mask)
    image = inputs if rank == max(RANKS) else tf.expand_dims(inputs, 1)
    channels = layer.moving_mean.shape[0]
    made, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=image,
        scale=layer.gamma.value if layer.scale else tf.ones(channels),
        offset=layer.beta.value if layer.center else tf.zeros(channels),
        mean=tf.zeros(0),
        variance=tf.zeros(0),
        epsilon=layer.epsilon,
        is_training=True,
    )
    # The operator tells the variance of what the batch is a sample of, Keras keeps that of the batch.
    count = tf.cast(tf.size(inputs), tf.float32) / channels
    for kept, found in ((layer.moving_mean, mean), (layer.moving_variance, variance * (count - 1) / count)):
        kept.assign(kept.value * layer.momentum + found * (1 - layer.momentum))
    return made if image is inputs else tf.squeeze(made, 1)
