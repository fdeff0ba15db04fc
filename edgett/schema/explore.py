"""Design spaces: their layers, and how many solutions each step left."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgett.forms.site import CostModel, Estimate
from edgett.schema.parts import (
    ABSENT,
    CostDocument,
    Count,
    Document,
    Error,
    Many,
    Part,
    Rare,
    Real,
    Size,
    Spec,
    Text,
    one_of,
)
from edgett.search.choices import EmptyTiles


class LayerDocument(Part):
    """A fully connected layer or a convolution, dense."""

    name: Text = Field(description="its name in the model, or its size")
    inputs: Size = Field(description="numbers that its weight meets at once")
    outputs: Size = Field(description="numbers that it gives")
    params: Count = Field(description="numbers stored, biases included")
    positions: Size = Field(default=1, description="how often a sample meets its weight, each time that it runs")
    window: Rare[Text] = Field(
        default=ABSENT, description="of a convolution: window, channels read and written, the image that it writes"
    )
    flops: Count = Field(description="of one sample: a multiplication is one, and an addition is one")
    excluded: Text | None = Field(description="why it is left alone; null: it is not")
    solutions: Many = Field(description="its solutions")


class GridLayer(LayerDocument):
    efficient: Many = Field(description="solutions that are smaller and cheaper than the dense layer")
    occupied_tiles: Count = Field(description="tiles of the grid with such solutions in them")


class ParetoLayer(LayerDocument):
    undominated: Count = Field(description="solutions than which no other is better in all objectives")
    epsilon: Real = Field(
        description="each solution left out is at most that share better in any objective than one that stands for it"
    )


class ApartDocument(Part):
    """A layer with weights that stays as it is."""

    name: Text = Field(description="its name in the model")
    kind: Text = Field(description="its class")
    params: Count = Field(description="numbers stored")
    excluded: Text = Field(description="why it stays")


class GridTotals(Part):
    """Of all layers together."""

    solutions: Many = Field(description="the product over the layers")
    efficient: Many = Field(description="the product over the layers")
    shared_tiles: Count = Field(description="tiles that are joined over the layers")
    points: Count = Field(description="four a tile")
    joint_candidates: Count = Field(description="distinct solutions that would be fine-tuned")


class ParetoTotals(Part):
    """Of all layers together."""

    solutions: Many = Field(description="the product over the layers")
    undominated: Count = Field(description="solutions than which no other is better in all objectives")
    joint_candidates: Count = Field(description="distinct solutions that would be fine-tuned")
    epsilon: Real = Field(
        description="each solution left out is at most that share better in any objective than one that stands for it"
    )


class GridSearch(Document):
    search: Literal["grid"] = Field(description="one max rank for all bonds, corner points of a grid")
    cost_model: one_of(CostModel) = Field(  # type: ignore[valid-type]
        default=CostModel.EXACT.value, description="what FLOPs are: counted, or equation 4 of the paper"
    )
    ranks: list[Size] = Field(default_factory=list, description="the max ranks")
    grid: Size = Field(default=1, description="tiles a side")
    empty_tiles: one_of(EmptyTiles) = Field(  # type: ignore[valid-type]
        description="what stands in for a tile that is empty in one of the layers"
    )
    totals: GridTotals = Field(default=ABSENT, description="of all layers together")


class ParetoSearch(Document):
    search: Literal["pareto"] = Field(description="a rank for every bond, the whole space")
    cost_model: one_of(CostModel) = Field(  # type: ignore[valid-type]
        default=CostModel.EXACT.value, description="FLOPs are counted"
    )
    rank_multiple: Size = Field(default=1, description="ranks are multiples of it")
    max_rank: Size | None = Field(default=None, description="the largest rank of a bond; null: no limit")
    estimate: one_of(Estimate) = Field(  # type: ignore[valid-type]
        default=Estimate.KEPT_ENERGY.value, description="what stands for the error"
    )
    totals: ParetoTotals = Field(default=ABSENT, description="of all layers together")


class Held(CostDocument):
    """A solution, and what it costs."""

    spec: Spec = Field(description="its form")


class Point(Held):
    """A solution of a Pareto set, what it costs and what it loses."""

    loss: Real = Field(description="what stands for its error in the search")
    error: Error = Field(description="how far it is from the trained weight")


class Fronted(ParetoLayer):
    front: list[Point] = Field(description="its Pareto set; empty where the layer is left alone")


class GridExploration(GridSearch):
    """The design space in a grid, as in the paper."""

    layers: list[GridLayer | ApartDocument] = Field(description="all layers with weights, in the order given")


class ParetoExploration(ParetoSearch):
    """The whole design space."""

    layers: list[Fronted | ApartDocument] = Field(description="all layers with weights, in the order given")


class SizedLayer(LayerDocument):
    efficient: Many = Field(description="solutions that are smaller and cheaper than the dense layer")
    space: list[Held] = Field(description="those, one form after the other")


class SizedTotals(Part):
    """Of all layers together."""

    solutions: Many = Field(description="the product over the layers")
    efficient: Many = Field(description="the product over the layers")


class SizedExploration(Document):
    """The whole design space of convolutions given by size, which have no weights that solutions could be near to."""

    search: Literal["pareto"] = Field(description="the whole space")
    cost_model: Literal["exact"] = Field(description="FLOPs are counted")
    rank_multiple: Size = Field(description="ranks are multiples of it")
    layers: list[SizedLayer] = Field(description="in the order given")
    totals: SizedTotals = Field(description="of all layers together")
