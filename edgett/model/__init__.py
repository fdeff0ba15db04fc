"""A Keras model: loaded, traced, its layers replaced, read as the operators that it becomes."""

import os
import tempfile
from types import SimpleNamespace
from typing import Any

from edgett.system.folders import lasting
from edgett.system.quiet import quiet

# Read by TensorFlow and Keras when they are imported, which the first module of this package does.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# Off by default on AMD's processors, where convolutions train 2.5 times as fast with it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

with quiet():
    import tensorflow as tf
    from tensorflow.python.autograph.pyct import loader

# Its advice (retracing, mostly) is meant for whoever writes the code, not for whoever runs it.
tf.get_logger().setLevel("ERROR")


def _source(**options: Any) -> Any:
    """The file of Python that autograph writes a function to, in a folder that goes even after a kill."""
    return tempfile.NamedTemporaryFile(dir=lasting(), **options)


# It offers no other way to say where.
loader.tempfile = SimpleNamespace(NamedTemporaryFile=_source)
