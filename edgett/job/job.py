"""What a run is asked to do: the command line over `edgett.toml` over the target's profile over defaults."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PurePath
from typing import Annotated, Any

from pydantic import Field, PlainValidator, ValidationError

from edgett.errors import UsageError
from edgett.forms.front import Search
from edgett.forms.site import Estimate
from edgett.forms.tt.shapes import check_max_ranks, parse_ranks
from edgett.graph.dtype import DType
from edgett.job.attack import Attack, Attacker, asked_attack
from edgett.job.choices import Prune, Recover, Schedule, Trunk
from edgett.job.yardstick import Yardstick, parse_metric
from edgett.search.choices import EmptyTiles, Strategy
from edgett.search.constraints import CONSTRAINTS, ROBUST_DROP, Objective
from edgett.search.tiles import check_grid
from edgett.target.profile import UNITS, Target, load_target, override, with_dtype
from edgett.target.tables import TomlTable, mistakes, read

FILE = Path("edgett.toml")
EXAMPLE = "example:clock"


class Command(enum.Enum):
    """What makes a run."""

    COMPRESS = "compress"
    DEPLOY = "deploy"

    @property
    def options(self) -> tuple[str, ...]:
        """The fields of a `Job` that mean something to it."""
        return tuple(field.name for field in fields(Job) if self is Command.COMPRESS or field.name in _DEPLOYED)


_LIMITS = tuple(row.option for row in CONSTRAINTS)
_ATTACK = ("attack", "epsilon", "attack_steps")
_DEPLOYED = (
    "target", "model", "data", "custom_objects", "input_shape", "metric", *_ATTACK, "seed", "batch", "dtype", *_LIMITS,
)  # fmt: skip


_SHARES = {Strategy.GRID: 0.10, Strategy.PARETO: 0.01}


@dataclass(frozen=True)
class Job:
    """A model, its data and a target, and how to go about it; checks itself.

    `limit` None fine-tunes every joint candidate. `jobs` None trains in as many processes as there are processors, 0 in
    this one; `cluster` on a Ray cluster. `metric` None judges by those that the model was compiled with. `attack` and
    what belongs to it None attack only where something else asks for it (see `attack_of`). `dtype` stands over the
    target's, and `objective` and the limits, those from `max_drop` on, over its budget where they are not
    None.
    """

    target: str
    model: str = EXAMPLE
    data: str | None = None
    augment: str | None = None
    custom_objects: str | None = None
    input_shape: tuple[str, ...] = ()
    search: Strategy = Strategy.PARETO
    ranks: str = "2:12"
    grid: int = 8
    empty_tiles: EmptyTiles = EmptyTiles.SKIP
    rank_multiple: int = 4
    max_rank: int = 64
    estimate: Estimate = Estimate.LARGEST_CUT
    share: float | None = None
    only_layer: tuple[str, ...] = ()
    skip_layer: tuple[str, ...] = ()
    limit: int | None = 24
    schedule: Schedule = Schedule.AUTO
    trunk: Trunk = Trunk.AUTO
    recover: Recover = Recover.DISTILL
    prune: Prune = Prune.NOTHING
    epochs: int = 3
    batch_size: int = 128
    patience: int | None = None
    learning_rate: float | None = None
    int8_epochs: int = 1
    seed: int = 0
    batch: int = 1
    dtype: DType | None = None
    jobs: int | None = None
    cluster: str | None = None
    metric: str | None = None
    attack: Attacker | None = None
    epsilon: float | None = None
    attack_steps: int | None = None
    max_drop: float | None = None
    max_robust_drop: float | None = None
    objective: Objective | None = None
    model_bytes: str | None = None
    peak: str | None = None
    flops: str | None = None
    latency_ms: float | None = None

    def __post_init__(self) -> None:
        for name in ("limit", "epochs", "batch_size", "patience", "batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} {value} is below 1.", "Give at least 1.")
        if self.int8_epochs < 0:
            raise UsageError(f"--int8-epochs {self.int8_epochs} is below 0.", "Give the epochs, or 0 for none.")
        if self.jobs is not None and self.jobs < 0:
            raise UsageError(f"--jobs {self.jobs} is below 0.", "Give the number of processes, or 0 for none.")
        if self.cluster is not None and self.jobs is not None:
            raise UsageError("--jobs is for this machine, --cluster for others.", "Leave one of them out.")
        if self.patience is not None and self.schedule is Schedule.HALVING:
            raise UsageError(
                "--patience has no place in --schedule halving, which stops early itself.", "Leave one of them out."
            )
        if self.recover is Recover.ADMM and self.epochs < 2:
            raise UsageError(
                "--recover admm trains the dense model first: one epoch is too few.", "Give at least --epochs 2."
            )
        if self.augment is not None and self.trunk is Trunk.FROZEN:
            raise UsageError(
                "--augment alters what a trunk is given in every epoch, and a frozen one is run once.",
                "Leave out --trunk frozen, or --augment.",
            )
        if self.prune is Prune.CHANNELS and self.search is Strategy.GRID:
            raise UsageError(
                "--prune channels has no place in --search grid, the paper's, which expects no loss of a solution.",
                "Leave one of them out.",
            )
        if self.share is not None and not 0 <= self.share < 1:
            raise UsageError(f"--share {self.share:g} is not from 0 to below 1.", "The paper's is 0.1.")
        if self.learning_rate is not None and not 0 < self.learning_rate < 10:
            raise UsageError(
                f"--learning-rate {self.learning_rate:g} is not above 0 and below 10.", "Adam's usual one is 0.001."
            )
        for name, most in (("max-drop", self.max_drop), ("max-robust-drop", self.max_robust_drop)):
            if most is not None and not 0 <= most <= 100:
                raise UsageError(f"--{name} {most:g} is not from 0 to 100.", "Give percentage points, such as 1.5.")
        _ = asked_attack(self.attack, self.epsilon, self.attack_steps)
        if self.latency_ms is not None and not 0 < self.latency_ms < math.inf:
            raise UsageError(f"--latency-ms {self.latency_ms:g} is not above 0 and finite.", "Give milliseconds.")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"--seed {self.seed} is not from 0 to {2**32 - 1}.", "Give a number in between.")
        _ = self.yardstick
        check_max_ranks(self.max_ranks)
        check_grid(self.grid)
        self.whole_space  # noqa: B018 - checks itself
        self.input_shapes  # noqa: B018 - checks itself

    @property
    def max_ranks(self) -> tuple[int, ...]:
        """The max ranks to try, ascending."""
        return parse_ranks(self.ranks)

    @property
    def least_share(self) -> float:
        """The share of the parameters that makes a layer worth it: the paper's, or what no search minds."""
        return _SHARES[self.search] if self.share is None else self.share

    @property
    def input_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of a sample by the input's name; "" where it has none."""
        return dict(_input_shape(text) for text in self.input_shape)

    @property
    def whole_space(self) -> Search:
        """How the whole space is searched."""
        return Search(self.rank_multiple, self.max_rank, self.estimate)

    @property
    def yardstick(self) -> Yardstick | None:
        """The metric that is asked for."""
        return None if self.metric is None else parse_metric(self.metric)

    @property
    def attacks(self) -> bool:
        """Whether options ask for an attack, and not a budget."""
        return self.recover is Recover.ADVERSARIAL or any(getattr(self, name) is not None for name in _ATTACK)

    @property
    def budget(self) -> dict[str, Any]:
        """What stands over the target's budget, under the budget's own names; None where nothing does."""
        limits = {row.name: getattr(self, row.option) for row in CONSTRAINTS}
        return {"objective": self.objective, **limits}

    @property
    def title(self) -> str:
        """The model's name in a path."""
        return self.model.removeprefix("example:") if self.model.startswith("example:") else Path(self.model).stem


def _input_shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = text.rpartition("=")
    if not re.fullmatch(r"[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*", sizes):
        raise UsageError(
            f"--input-shape {text} is not the shape of a sample.",
            "Give its sizes, such as 96,96,3, or NAME=96,96,3 where there are several inputs.",
        )
    return name, tuple(map(int, sizes.split(",")))


_ONLY = {
    Strategy.GRID: ("ranks", "grid", "empty_tiles"),
    Strategy.PARETO: ("rank_multiple", "max_rank", "estimate"),
}
_PROFILE = (*_LIMITS, "objective", "dtype")
_UNITS = {row.option: unit for row, unit in UNITS.items()}

Whole = Annotated[int, Field(ge=1)]


def _limit(given: object) -> int | str:
    if given == "all" or (isinstance(given, int) and not isinstance(given, bool) and given >= 1):
        return given
    raise ValueError("a whole number, at least 1, or 'all'")


class Project(TomlTable):
    """The keys of an edgett.toml: those of the command line, with _ for -."""

    model: str | None = Field(default=None, description="a .keras or .h5 file, or example:NAME")
    data: str | None = Field(default=None, description="an .npz, package.module:function, mnist or cifar10")
    target: str | None = Field(default=None, description="a target's name, or a profile's path")
    augment: str | None = Field(
        default=None, description="what alters training inputs: package.module:function, or a .keras file of layers"
    )
    custom_objects: str | None = Field(default=None, description="a module that defines the model's own layers")
    input_shape: list[str] | None = Field(
        default=None, description="sizes of a sample where the model leaves them open: 96,96,3 or NAME=96,96,3"
    )
    search: Annotated[Strategy, Field(strict=False)] | None = Field(
        default=None, description="pareto, or grid: the paper's"
    )
    ranks: str | None = Field(default=None, description="max ranks: 2:12, 2:64:4 or 4,8,16")
    grid: Whole | None = Field(default=None, description="tiles a side")
    empty_tiles: Annotated[EmptyTiles, Field(strict=False)] | None = Field(default=None, description="skip or nearest")
    rank_multiple: Whole | None = Field(default=None, description="pareto: ranks are multiples of it")
    max_rank: Whole | None = Field(default=None, description="pareto: the largest rank of a bond")
    estimate: Annotated[Estimate, Field(strict=False)] | None = Field(
        default=None, description="pareto: what stands for the error, kept-energy or largest-cut"
    )
    share: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        default=None, description="share of the parameters that makes a layer worth it"
    )
    only_layer: list[str] | None = Field(default=None, description="layers to factorise, no others")
    skip_layer: list[str] | None = Field(default=None, description="layers to leave alone")
    limit: Annotated[int | str, PlainValidator(_limit)] | None = Field(
        default=None, description='joint candidates to fine-tune, or "all"'
    )
    schedule: Annotated[Schedule, Field(strict=False)] | None = Field(default=None, description="auto, full or halving")
    trunk: Annotated[Trunk, Field(strict=False)] | None = Field(default=None, description="auto, frozen or trained")
    recover: Annotated[Recover, Field(strict=False)] | None = Field(
        default=None, description="plain, distill, admm or adversarial"
    )
    prune: Annotated[Prune, Field(strict=False)] | None = Field(default=None, description="channels or nothing")
    jobs: Annotated[int, Field(ge=0)] | None = Field(default=None, description="processes that fine-tune; 0: none")
    cluster: str | None = Field(default=None, description="address of a Ray cluster that fine-tunes")
    epochs: Whole | None = Field(default=None, description="epochs of fine-tuning")
    batch_size: Whole | None = Field(default=None, description="samples a step of fine-tuning")
    patience: Whole | None = Field(default=None, description="epochs without progress that end a fine-tuning early")
    learning_rate: float | None = Field(default=None, description="rate that fine-tuning starts from")
    int8_epochs: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="epochs of a pick in int8; 0: none"
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = Field(default=None, description="seed of everything random")
    batch: Whole | None = Field(default=None, description="samples that an exported model takes at once")
    dtype: Annotated[DType, Field(strict=False)] | None = Field(default=None, description="float32 or int8")
    metric: str | None = Field(
        default=None, description="what models are judged by: package.module:function or a metric's name, :max or :min"
    )
    attack: Annotated[Attacker, Field(strict=False)] | None = Field(
        default=None, description="what models are judged under too: pgd or fgsm"
    )
    epsilon: float | None = Field(default=None, description="how far it moves inputs, a share of their range")
    attack_steps: Whole | None = Field(default=None, description="steps of pgd")
    max_drop: Annotated[float, Field(ge=0, le=100)] | None = Field(
        default=None, description="largest loss of accuracy, in percentage points"
    )
    max_robust_drop: Annotated[float, Field(ge=0, le=100)] | None = Field(
        default=None, description="largest loss of accuracy under attack, in percentage points"
    )
    objective: Annotated[Objective, Field(strict=False)] | None = Field(
        default=None, description="memory, flops, accuracy or latency"
    )
    model_bytes: str | None = Field(default=None, description='largest file, such as "512 KiB" or "50 %"')
    peak: str | None = Field(default=None, description='most RAM that tensors take at once, such as "64 KiB" or "50 %"')
    flops: str | None = Field(default=None, description='most FLOPs, such as "2 MFLOP" or "50 %"')
    latency_ms: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="longest time of an inference, in milliseconds"
    )


def load_project(path: Path = FILE) -> Project:
    """The file, or an empty project where there is none. Raises ProfileError naming file, key and what is allowed."""
    return (
        read(Project, path, "The keys are the options of 'edgett compress', with _ for -.")
        if path.exists()
        else Project()
    )


def settled(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given (None: it is not) as the fields of a `Job`: lists as tuples, a limit of "all" as None."""
    named = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    named = {name: value for name, value in named.items() if value is not None}
    return named | ({"limit": None} if named.get("limit") == "all" else {})


def from_python(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options as a program gives them, checked and read as those of an edgett.toml, None where nothing.

    Enumerations or their words, paths or their words, one layer or several, amounts as words or as numbers of bytes or
    FLOPs; a limit of None is "all", as in a `Job`. Raises UsageError.
    """
    try:
        return dict(Project.model_validate({name: _worded(name, value) for name, value in given.items()}))
    except ValidationError as problem:
        message, nearest = mistakes(problem, Project)
        raise UsageError(message, nearest or "The options are those of 'edgett compress', with _ for -.") from problem


def _worded(name: str, value: Any) -> Any:
    """A value as TOML might hold it."""
    if name == "limit" and value is None:
        return "all"
    if name in ("only_layer", "skip_layer") and isinstance(value, str | tuple):
        return [value] if isinstance(value, str) else list(value)
    if name in _UNITS and isinstance(value, int) and not isinstance(value, bool):
        return _UNITS[name].plain(value)
    return str(value) if isinstance(value, PurePath) else value


def resolve(given: Mapping[str, Any], project: Project, giver: str = "command line") -> tuple[Job, dict[str, str]]:
    """The job, and where each of its values came from. `given` holds what the `giver` says, None where nothing.

    Raises UsageError when no target is named.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    sources = {giver: settled(given), str(FILE): settled(dict(project))}
    for field in fields(Job):
        name = field.name
        for origin, named in sources.items():
            if name in named:
                values[name], origins[name] = named[name], origin
                break
        else:
            origins[name] = "profile" if name in _PROFILE else "default"
    if "target" not in values:
        raise UsageError(
            "no target is named.", "Add --target NAME; 'edgett targets list' lists them. The first to try: cortex-a53."
        )
    if "search" not in values and (meant := _meant(sources)):
        values["search"], origins["search"] = meant
    job = Job(**values)
    for strategy, names in _ONLY.items():
        for name in names:
            if strategy is not job.search and origins[name] == giver:
                raise UsageError(
                    f"--{name.replace('_', '-')} belongs to --search {strategy.value}, this is {job.search.value}.",
                    f"Leave it out, or add --search {strategy.value}.",
                )
    return job, origins


def _meant(sources: Mapping[str, Mapping[str, Any]]) -> tuple[Strategy, str] | None:
    """The search whose options are given where it is not itself, and by whom; the first source that says it decides."""
    for origin, named in sources.items():
        for strategy, names in _ONLY.items():
            if named.keys() & set(names):
                return strategy, origin
    return None


def target_of(job: Job) -> Target:
    """The job's target with its own budget."""
    return override(with_dtype(load_target(job.target), job.dtype), **job.budget)


def attack_of(job: Job) -> Attack | None:
    """What models are attacked by; None where neither an option nor the target's budget asks for it."""
    asked = job.attacks or target_of(job).budget[ROBUST_DROP] is not None
    return asked_attack(job.attack, job.epsilon, job.attack_steps) if asked else None
