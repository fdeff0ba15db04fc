"""Step 6: data, quality, and fine-tuning, in this process or in others."""

import edgett.model  # noqa: F401 - sets TensorFlow up, before it is imported here
