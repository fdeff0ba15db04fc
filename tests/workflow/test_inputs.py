import keras
import numpy as np
import pytest

from edgett.errors import ModelError
from edgett.meter import Silent
from edgett.train.data import data_from_arrays
from edgett.workflow import inputs


def test_a_name_that_cannot_be_exported_is_refused_before_anything_is_trained() -> None:
    image = keras.Input((4,), name="my input")
    model = keras.Model(image, keras.layers.Dense(2)(image))
    x, y = np.zeros((8, 4), np.float32), np.zeros((8, 2), np.float32)
    data = data_from_arrays({"x_train": x, "y_train": y, "x_test": x, "y_test": y}, model, 0)
    with pytest.raises(ModelError, match="input 'my input' cannot be exported"):
        inputs.inputs(model, data, Silent())
