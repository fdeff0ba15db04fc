"""A job's model and data, loaded, trained where they are an example, and checked against each other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgett.errors import DataError
from edgett.job.attack import Attack
from edgett.job.job import Job, attack_of
from edgett.job.origin import origin
from edgett.job.yardstick import Yardstick
from edgett.meter import Meter
from edgett.search.quality import Quality
from edgett.system import folders

if TYPE_CHECKING:
    from edgett.examples.zoo import Example
    from edgett.model.slim.pruned import Pruned
    from edgett.train.attacks import Adversary
    from edgett.train.augmented import Augmented
    from edgett.train.data import Data, Split
    from edgett.train.quality import Judge

EXAMPLE = "example:"


@dataclass(frozen=True)
class Inputs:
    """A trained model, its data, how it is judged, its quality on the validation data; `digests` tell them apart.

    `model` is the baseline: drops are measured from its `quality`, and it is what is deployed where nothing is
    replaced. `retrained` is what a training method made of it before the decomposition, None where none did.
    `given` is the model before channels that contribute nothing were removed, None where none were: percentages of
    budgets are of it. `pruned` is the source without some channels, by how many are gone. `remarks` say what the user
    should know of how it is judged. Without labels the data have the model's outputs. `drawn`: the model came alone,
    its data are random, and nothing is judged. `adversary` attacks what is judged under attack too; None where nothing
    is.
    """

    model: Any
    data: Data
    judge: Judge
    quality: Quality
    digests: Mapping[str, str]
    remarks: tuple[str, ...] = ()
    drawn: bool = False
    retrained: Any = None
    given: Any = None
    adversary: Adversary | None = None
    pruned: Mapping[int, Pruned] = field(default_factory=dict)

    @property
    def source(self) -> Any:
        """The model whose weights are decomposed: of the baseline's structure, with its weights or with others."""
        return self.model if self.retrained is None else self.retrained

    def source_of(self, gone: int) -> Any:
        """The source without so many channels; with 0 the source itself."""
        if not gone:
            return self.source
        if gone not in self._smaller:
            self._smaller[gone] = self.pruned[gone].of(self.source)
        return self._smaller[gone]

    @cached_property
    def _smaller(self) -> dict[int, Any]:
        return {}


def load(job: Job, meter: Meter) -> Inputs:
    """The model and the data that a job names. Raises ModelError or DataError."""
    if job.model.startswith(EXAMPLE):
        model, data = _example(job, meter)
    else:
        model, data = _own(job, meter)
    return augmented(inputs(model, data, meter, Asked.of(job)), job)


def augmented(loaded: Inputs, job: Job) -> Inputs:
    """The same with training samples that are altered as the job has it. Raises UsageError for what cannot do that."""
    if job.augment is None:
        return loaded
    from edgett.train.assess import answering

    data = loaded.data
    label = None if data.labelled else answering(loaded.source)
    train = _altered(data.train, job.augment, loaded.model, job.seed)
    digests = {**loaded.digests, "augment": train.augment.way.digest}
    return replace(loaded, data=replace(data, train=replace(train, label=label)), digests=digests)


def _altered(split: Split, spec: str, model: Any, seed: int) -> Augmented:
    from edgett.train.augment import read_augmentation
    from edgett.train.augmented import Augmented

    return Augmented(split.x, split.y, read_augmentation(spec, model, split.x), seed)


@dataclass(frozen=True)
class Asked:
    """How models are to be judged: by which metric (None: their own), under which attack too; with which seed."""

    metric: Yardstick | None = None
    attack: Attack | None = None
    seed: int = 0

    @classmethod
    def of(cls, job: Job) -> Asked:
        """What a job asks for."""
        return cls(job.yardstick, attack_of(job), job.seed)


PLAINLY = Asked()


def inputs(model: Any, data: Data, meter: Meter, asked: Asked = PLAINLY) -> Inputs:
    """A model and data that are at hand.

    Raises ModelError for a model that could not be exported in the end, or not be attacked as it is asked, UsageError
    for a metric that is not there.
    """
    from edgett.model import users
    from edgett.model.servable import refuse_unspeakable
    from edgett.model.trace import trace
    from edgett.train import attacks, learnt
    from edgett.train.assess import assess, outputs
    from edgett.train.data import scaling_warning
    from edgett.train.quality import Ask, judge

    refuse_unspeakable(trace(model))
    warning = scaling_warning(model, data)
    if warning is not None:
        meter.say(f"Warning: {warning}")
    digests = {"model": _digest(model), "data": data.digest}
    if not data.labelled:
        data = data.labelled_by(lambda x: outputs(model, x))
    judged = judge(model, data.train.y, Ask(asked.metric, data.labelled, asked.attack))
    if asked.metric is not None and asked.metric.module is not None:
        digests["metric"] = users.digest(asked.metric.module)
    if asked.attack is not None:
        attacks.refuse_unattackable(model, data, judged)
    quality = assess(model, data.validation, judged)
    remarks = list(judged.remarks)
    if data.aside and data.labelled and (gap := learnt.gap(model, data, judged)) is not None:
        data = learnt.unlearnt(data, judged, asked.seed)
        quality = assess(model, data.validation, judged)
        remarks.append(
            f"the model is {gap:.3g} {judged.unit} worse on the test data than on the training data, which it has"
            " learnt: what is lost on a part of these would say little. So half of the test samples,"
            f" {len(data.validation):,} drawn with the seed, validate, and only the other {len(data.test):,} test."
            " x_val and y_val that it has not seen do better."
        )
    for remark in remarks:
        meter.say(f"Note: {remark}")
    adversary = attacks.Adversary.of(judged, data.train.x)
    if adversary is not None:
        with meter.stage("attacking the model"):
            quality = attacks.under_attack(quality, adversary, model, data.validation)
    return Inputs(model, data, judged, quality, digests, tuple(remarks), adversary=adversary)


def alone(model: Any, seed: int) -> Inputs:
    """A model without data, to be exported and not judged. Raises ModelError for one that could not be exported."""
    from edgett.model.servable import refuse_unspeakable
    from edgett.model.trace import trace
    from edgett.train.drawn import UNJUDGED, drawn

    refuse_unspeakable(trace(model))
    return Inputs(model, drawn(model, seed), UNJUDGED, Quality(()), {"model": _digest(model)}, drawn=True)


def announced(job: Job, meter: Meter) -> None:
    """Say what wrote the job's model file. Raises ModelError for a file that is no Keras model."""
    if not job.model.startswith(EXAMPLE):
        meter.say(str(origin(_file(job))))


def model_only(job: Job, meter: Meter) -> Any:
    """The model for a look at its layers: an example is built, not trained."""
    if job.model.startswith(EXAMPLE):
        from edgett.examples.zoo import example

        return prepared(example(job.model.removeprefix(EXAMPLE)).build(), job, meter)
    from edgett.model.models import load_model

    return prepared(load_model(_file(job), job.custom_objects, meter.say), job, meter)


def prepared(model: Any, job: Job, meter: Meter) -> Any:
    """A model with inputs of the sizes that the job names. Raises ModelError for one that cannot be worked with."""
    from edgett.model.ready import ready

    return ready(model, job.input_shapes, meter.say)


def _file(job: Job) -> Path:
    return Path(job.model).expanduser()


def trained(job: Job, meter: Meter) -> tuple[Any, Mapping[str, Any] | None]:
    """The model with its trained weights, and inputs of its training where there are some.

    An example needs its data for that, a model of one's own does not.
    """
    from edgett.train.data import load_data

    if job.model.startswith(EXAMPLE):
        model, data = _example(job, meter)
        return model, data.train.x
    model = model_only(job, meter)
    return model, None if job.data is None else load_data(job.data, model, job.seed).train.x


def initial(job: Job, meter: Meter) -> tuple[Any, Data]:
    """The model with its initial weights, an example as it is built, and the data to train it on. Raises DataError."""
    from edgett.examples import zoo

    if not job.model.startswith(EXAMPLE):
        model, data = _own(job, meter)
    else:
        chosen = zoo.example(job.model.removeprefix(EXAMPLE))
        model = prepared(zoo.untrained(chosen, job.seed), job, meter)
        data = _data_for(chosen, job, model, meter)
    data = _labelled(data, job)
    if job.augment is not None:
        data = replace(data, train=_altered(data.train, job.augment, model, job.seed))
    return model, data


def explorable(job: Job, meter: Meter) -> tuple[Any, Mapping[str, Any] | None]:
    """As `trained`; but an example that has no data and is given none comes with its initial weights."""
    from edgett.examples import zoo

    chosen = zoo.example(job.model.removeprefix(EXAMPLE)) if job.model.startswith(EXAMPLE) else None
    if chosen is None or chosen.draw is not None or job.data is not None:
        return trained(job, meter)
    meter.say(
        f"Note: {job.model} has no data of its own, so it is not trained here, and errors are those of its initial"
        f" weights. {_of_data(chosen)}"
    )
    return prepared(zoo.untrained(chosen, job.seed), job, meter), None


def _example(job: Job, meter: Meter) -> tuple[Any, Data]:
    from edgett.examples.baseline import baseline
    from edgett.examples.zoo import example

    chosen = example(job.model.removeprefix(EXAMPLE))
    data = _data_for(chosen, job, chosen.build(), meter)
    # Whatever was set aside, the baseline that is trained here does not learn it.
    network = prepared(baseline(chosen, data, job.seed, folders.cache(), meter), job, meter)
    return network, replace(data, aside=False)


def _data_for(chosen: Example, job: Job, model: Any, meter: Meter) -> Data:
    """What an example is trained on."""
    from edgett.train.data import load_data

    if job.data is not None:
        return _labelled(load_data(job.data, model, job.seed), job)
    if chosen.draw is None:
        raise DataError(f"{job.model} has no data of its own.", _of_data(chosen))
    with meter.stage("drawing the data"):
        return chosen.draw(job.seed)


def _labelled(data: Data, job: Job) -> Data:
    if not data.labelled:
        raise DataError(f"{job.data} has no labels, and {job.model} is trained here.", "Add y_train and y_test.")
    return data


def _of_data(chosen: Example) -> str:
    """What data an example wants."""
    from edgett.model.ports import input_ports, output_ports

    if chosen.dataset is not None:
        return f"Add --data {chosen.dataset}.npz, or --data {chosen.dataset}."
    model = chosen.build()
    (x,), (y,) = input_ports(model), output_ports(model)
    classes = int(y.shape[-1] or 0)
    return f"Add --data FILE.npz with x_train {x}, y_train (n,) of classes 0 to {classes - 1}, and x_test, y_test."


def _own(job: Job, meter: Meter) -> tuple[Any, Data]:
    from edgett.train.data import load_data

    model = model_only(job, meter)
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
