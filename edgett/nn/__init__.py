"""Everything that touches TensorFlow, Keras and T3F."""

import os

from edgett.quiet import quiet

# Read by TensorFlow and Keras when they are imported, which the first module of this package does.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# Off by default on AMD's processors, where convolutions train 2.5 times as fast with it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

with quiet():
    import tensorflow as tf

# Its advice (retracing, mostly) is meant for whoever writes the code, not for whoever runs it.
tf.get_logger().setLevel("ERROR")
