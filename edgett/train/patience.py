"""When a training has gone on long enough."""

from __future__ import annotations

import keras
import numpy as np


class Patience:
    """Ends a training that has not found a lower loss for so many epochs, and gives the best weights back."""

    def __init__(self, epochs: int | None) -> None:
        """`epochs`: how many; None: any."""
        self._epochs, self._waited, self._best, self._weights = epochs, 0, np.inf, None

    def over(self, model: keras.Model, loss: float | None) -> bool:
        """Tell whether it is over for a model after an epoch with this loss on the validation data."""
        if loss is not None and loss < self._best:
            self._best, self._weights, self._waited = loss, model.get_weights(), 0
            return False
        self._waited += 1
        if self._epochs is None or self._waited < self._epochs:
            return False
        if self._weights is not None:
            model.set_weights(self._weights)
        return True
