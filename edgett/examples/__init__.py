"""The models that are built in, and what each is trained on."""

import edgett.model  # noqa: F401 - sets TensorFlow up, before it is imported here
