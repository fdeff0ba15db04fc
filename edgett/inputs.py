"""A job's model and data, loaded, trained where they are an example, and checked against each other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgett import folders
from edgett.errors import DataError
from edgett.project import Job
from edgett.values import Meter, Quality

if TYPE_CHECKING:
    from edgett.nn.data import Data
    from edgett.nn.quality import Judge

EXAMPLE = "example:"


@dataclass(frozen=True)
class Inputs:
    """A trained model, its data, how it is judged, its quality on the validation data; `digests` tell them apart.

    `drawn`: the model came alone, its data are random, and nothing is judged.
    """

    model: Any
    data: Data
    judge: Judge
    quality: Quality
    digests: Mapping[str, str]
    drawn: bool = False


def load(job: Job, meter: Meter) -> Inputs:
    """The model and the data that a job names. Raises ModelError or DataError."""
    if job.model.startswith(EXAMPLE):
        model, data = _example(job, meter)
    else:
        model, data = _own(job)
    return inputs(model, data, meter)


def inputs(model: Any, data: Data, meter: Meter) -> Inputs:
    """A model and data that are at hand. Raises ModelError for a model that could not be exported in the end."""
    from edgett.nn.assess import assess
    from edgett.nn.data import scaling_warning
    from edgett.nn.quality import judge
    from edgett.nn.servable import refuse_unspeakable
    from edgett.nn.trace import trace

    refuse_unspeakable(trace(model))
    warning = scaling_warning(model, data)
    if warning is not None:
        meter.say(f"Warning: {warning}")
    judged = judge(model, data.train.y)
    quality = assess(model, data.validation, judged)
    return Inputs(model, data, judged, quality, {"model": _digest(model), "data": data.digest})


def alone(model: Any, seed: int) -> Inputs:
    """A model without data, to be exported and not judged. Raises ModelError for one that could not be exported."""
    from edgett.nn.drawn import UNJUDGED, drawn
    from edgett.nn.servable import refuse_unspeakable
    from edgett.nn.trace import trace

    refuse_unspeakable(trace(model))
    return Inputs(model, drawn(model, seed), UNJUDGED, Quality(()), {"model": _digest(model)}, drawn=True)


def model_only(job: Job) -> Any:
    """The model for a look at its layers: an example is built, not trained."""
    if job.model.startswith(EXAMPLE):
        from edgett.nn.zoo import example

        return example(job.model.removeprefix(EXAMPLE)).build()
    from edgett.nn.models import load_model

    return load_model(Path(job.model).expanduser(), job.custom_objects)


def trained(job: Job, meter: Meter) -> Any:
    """The model with its trained weights; an example needs its data for that, a model of one's own does not."""
    return _example(job, meter)[0] if job.model.startswith(EXAMPLE) else model_only(job)


def _example(job: Job, meter: Meter) -> tuple[Any, Data]:
    from edgett.nn.baseline import baseline
    from edgett.nn.data import load_data
    from edgett.nn.zoo import example

    chosen = example(job.model.removeprefix(EXAMPLE))
    if job.data is not None:
        data = load_data(job.data, chosen.build(), job.seed)
    elif chosen.draw is not None:
        with meter.stage("drawing the data"):
            data = chosen.draw(job.seed)
    else:
        raise DataError(
            f"{job.model} has no data of its own.", f"Add --data {chosen.dataset}.npz, or --data {chosen.dataset}."
        )
    return baseline(chosen, data, job.seed, folders.cache(), meter), data


def _own(job: Job) -> tuple[Any, Data]:
    from edgett.nn.data import load_data
    from edgett.nn.models import load_model

    model = load_model(Path(job.model).expanduser(), job.custom_objects)
    if job.data is None:
        raise no_data(job.model)
    return model, load_data(job.data, model, job.seed)


def no_data(model: str) -> DataError:
    """What to say when a model of one's own comes alone."""
    return DataError(
        f"{model} comes without data to fine-tune and judge with.",
        "Add --data FILE.npz with x_train, y_train, x_test, y_test.",
    )


def _digest(model: Any) -> str:
    digest = hashlib.sha256(model.to_json().encode())
    for weight in model.get_weights():
        digest.update(weight.tobytes())
    return digest.hexdigest()
