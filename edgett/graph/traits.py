"""What there is to know of an operator. `graph.op` has a row for each."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Rule(enum.Enum):
    """How the FLOPs of an operator are counted."""

    NONE = "nobody knows"
    FREE = "nothing: it moves numbers, pools them or bends them"
    ARITHMETIC = "a FLOP an element"
    PRODUCT = "two FLOPs a multiply-accumulate, one a bias element"


class Real(enum.Enum):
    """When C computes an operator of an int8 graph in float32: nothing quantises its result then."""

    NEVER = "never"
    AT_THE_END = "at the end"
    ALWAYS = "always"


class Scales(enum.Enum):
    """What int8 C stores of an operator besides its numbers."""

    NONE = "nothing"
    COLUMNS = "an offset and a factor for each column"
    TENSORS = "the scales of three tensors"
    TABLE = "where it is an activation, all its results"


@dataclass(frozen=True)
class Tflite:
    """How a .tflite file holds an operator.

    Attributes:
        operators: how many of TFLite's it becomes; None: one.
        options: the bytes that the options of each take.
        shaped: it takes a tensor of integers besides, as a shape, axes, a permutation, paddings.
        micro: LiteRT for Microcontrollers has it.
        method: what registers it there, where that is not called as words go.
    """

    operators: int | None = None
    options: int = 0
    shaped: bool = False
    micro: bool = False
    method: str = ""


@dataclass(frozen=True)
class Onnx:
    """How an .onnx file holds an operator.

    Attributes:
        operators: how many nodes it becomes; None: one.
        letters: how many the name of their kind has.
        attributes: the bytes that their attributes take.
        shaped: it takes a shape that is stored.
        carries_relu: in int8 a ReLU behind it is a part of it.
        integer: the operator that computes it on int8 itself; empty: none.
        contributed: ONNX Runtime has it, ONNX itself has not.
    """

    operators: int | None = None
    letters: int = len("reshape")
    attributes: int = 0
    shaped: bool = False
    carries_relu: bool = False
    integer: str = ""
    contributed: bool = False


@dataclass(frozen=True)
class Op:
    """A kind of operator, and what there is to know of it.

    Attributes:
        name: in lower case, without underscores.
        rule: how its FLOPs are counted.
        of: what it is compared as, where that is another.
        view: it gives the same numbers under another shape, which costs nothing where a runtime works in place.
        elementwise: each result depends on one number of each operand, and may take its place.
        passes_layout: it does not ask where the channels are.
        spatial: it walks over pixels, whose channels ONNX wants first.
        moves: it gives numbers that it reads, of the same scale in int8.
        converts: it brings numbers to int8 or back.
        rides: TFLite makes it a part of the operator before it.
        real_in_c: when C computes it in float32 in an int8 graph.
        scales_in_c: what int8 C stores of it besides its numbers.
        foretold: the layer that Keras calls so is one step that counts nothing.
        tflite: how a .tflite file holds it.
        onnx: how an .onnx file holds it.
    """

    name: str
    rule: Rule = Rule.NONE
    of: Op | None = None
    view: bool = False
    elementwise: bool = False
    passes_layout: bool = False
    spatial: bool = False
    moves: bool = False
    converts: bool = False
    rides: bool = False
    real_in_c: Real = Real.NEVER
    scales_in_c: Scales = Scales.TABLE
    foretold: bool = False
    tflite: Tflite = Tflite()
    onnx: Onnx = Onnx()

    @property
    def family(self) -> Op:
        """The operator that it is compared as: Keras, TensorFlow Lite and ONNX have names of their own for the same."""
        return self.of or self
