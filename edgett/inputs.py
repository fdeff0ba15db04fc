"""A job's model and data, loaded, trained where they are an example, and checked against each other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgett import folders
from edgett.errors import DataError
from edgett.project import Job
from edgett.values import Meter, Quality
from edgett.yardstick import Yardstick

if TYPE_CHECKING:
    from edgett.nn.data import Data
    from edgett.nn.quality import Judge

EXAMPLE = "example:"


@dataclass(frozen=True)
class Inputs:
    """A trained model, its data, how it is judged, its quality on the validation data; `digests` tell them apart.

    `remarks` say what the user should know of how it is judged. Without labels the data have the model's outputs.
    `drawn`: the model came alone, its data are random, and nothing is judged.
    """

    model: Any
    data: Data
    judge: Judge
    quality: Quality
    digests: Mapping[str, str]
    remarks: tuple[str, ...] = ()
    drawn: bool = False


def load(job: Job, meter: Meter) -> Inputs:
    """The model and the data that a job names. Raises ModelError or DataError."""
    if job.model.startswith(EXAMPLE):
        model, data = _example(job, meter)
    else:
        model, data = _own(job)
    return inputs(model, data, meter, job.yardstick, job.seed)


def inputs(model: Any, data: Data, meter: Meter, metric: Yardstick | None = None, seed: int = 0) -> Inputs:
    """A model and data that are at hand, judged by its own metrics or by the one that is named.

    Raises ModelError for a model that could not be exported in the end, UsageError for a metric that is not there.
    """
    from edgett.nn import learnt, users
    from edgett.nn.assess import assess, outputs
    from edgett.nn.data import scaling_warning
    from edgett.nn.quality import Ask, judge
    from edgett.nn.servable import refuse_unspeakable
    from edgett.nn.trace import trace

    refuse_unspeakable(trace(model))
    warning = scaling_warning(model, data)
    if warning is not None:
        meter.say(f"Warning: {warning}")
    digests = {"model": _digest(model), "data": data.digest}
    if not data.labelled:
        data = data.labelled_by(lambda x: outputs(model, x))
    judged = judge(model, data.train.y, Ask(metric, data.labelled))
    if metric is not None and metric.module is not None:
        digests["metric"] = users.digest(metric.module)
    quality = assess(model, data.validation, judged)
    remarks = list(judged.remarks)
    if data.aside and data.labelled and (gap := learnt.gap(model, data, judged)) is not None:
        data = learnt.unlearnt(data, judged, seed)
        quality = assess(model, data.validation, judged)
        remarks.append(
            f"the model is {gap:.3g} {judged.unit} worse on the test data than on the training data, which it has"
            " learnt: what is lost on a part of these would say little. So half of the test samples,"
            f" {len(data.validation):,} drawn with the seed, validate, and only the other {len(data.test):,} test."
            " x_val and y_val that it has not seen do better."
        )
    for remark in remarks:
        meter.say(f"Note: {remark}")
    return Inputs(model, data, judged, quality, digests, tuple(remarks))


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
    if not data.labelled:
        raise DataError(f"{job.data} has no labels, and {job.model} is trained here.", "Add y_train and y_test.")
    # Whatever was set aside, the baseline that is trained here does not learn it.
    return baseline(chosen, data, job.seed, folders.cache(), meter), replace(data, aside=False)


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
        "Add --data FILE.npz with x_train, y_train, x_test, y_test; without labels x_train is enough.",
    )


def _digest(model: Any) -> str:
    digest = hashlib.sha256(model.to_json().encode())
    for weight in model.get_weights():
        digest.update(weight.tobytes())
    return digest.hexdigest()
