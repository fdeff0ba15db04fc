"""The operators that graphs are made of: what each is to memory, to time, and to the files that hold it.

A row an operator, under the name that Keras, TensorFlow Lite and ONNX give it, in lower case and without underscores.
What memory, order, time, C, the bytes of files and the FLOPs that are read back have to know of it they ask its row.
"""

from __future__ import annotations

import enum
import functools
from dataclasses import dataclass


class Rule(enum.Enum):
    """What an operator counts."""

    NONE = "nobody knows"
    FREE = "nothing: it moves numbers, pools them or bends them"
    ARITHMETIC = "a FLOP an element"
    PRODUCT = "two FLOPs a multiply-accumulate, one a bias element"


class Real(enum.Enum):
    """When C computes an operator in float32 in an int8 graph: nothing quantises its result then."""

    NEVER = "never"
    AT_THE_END = "at the end"
    ALWAYS = "always"


class Scales(enum.Enum):
    """What int8 C stores of it besides its numbers."""

    NONE = "nothing"
    COLUMNS = "an offset and a factor for each column"
    CHANNELS = "a bias and the scale of each channel"
    TENSORS = "the scales of three tensors"
    TABLE = "where it is an activation, all its results"


@dataclass(frozen=True)
class Tflite:
    """How a .tflite has it: as so many operators (None: as one), with so many bytes of options each.

    `shaped`: it takes a tensor of integers besides, as a shape, axes, a permutation, paddings.
    """

    operators: int | None = None
    options: int = 0
    shaped: bool = False


@dataclass(frozen=True)
class Onnx:
    """How an .onnx has it: as so many nodes (None: one), of a kind with so many letters, and such bytes of attributes.

    `shaped`: it takes a shape that is stored. `carries_relu`: in int8 a ReLU behind it is a part of it.
    """

    operators: int | None = None
    letters: int = len("reshape")
    attributes: int = 0
    shaped: bool = False
    carries_relu: bool = False


@dataclass(frozen=True)
class Op:
    """A kind of operator; `rule`: what it counts; `of`: the row under which it is compared, where that is another.

    `view`: it gives the same numbers under another shape, which costs nothing where a runtime works in place.
    `elementwise`: each result depends on one number of each operand, and may take its place. `passes_layout`: it does
    not ask where the channels are. `spatial`: it walks over pixels, whose channels ONNX wants first. `converts`: it
    gives the same numbers as another type, or another name. `rides`: it may be a part of the product before it.
    """

    name: str
    rule: Rule = Rule.NONE
    of: str = ""
    view: bool = False
    elementwise: bool = False
    passes_layout: bool = False
    spatial: bool = False
    converts: bool = False
    rides: bool = False
    real_in_c: Real = Real.NEVER
    scales_in_c: Scales = Scales.TABLE
    tflite: Tflite = Tflite()
    onnx: Onnx = Onnx()

    @property
    def family(self) -> Op:
        """What it is compared as: predictions, TensorFlow Lite and ONNX have names of their own for the same."""
        return named(self.of or self.name)


@functools.cache
def named(operator: str) -> Op:
    """The row of an operator by the name that anybody gives it; one of no special properties where there is none."""
    name = operator.lower().replace("_", "")
    return _OPS.get(name, Op(name))


_ROWS = (
    # What multiplies by a stored weight.
    Op(
        "product",
        rule=Rule.PRODUCT,
        scales_in_c=Scales.COLUMNS,
        tflite=Tflite(options=4),
        onnx=Onnx(letters=6, carries_relu=True),
    ),
    Op(
        "dense",
        of="product",
        rule=Rule.PRODUCT,
        scales_in_c=Scales.COLUMNS,
        tflite=Tflite(options=4),
        onnx=Onnx(letters=5, attributes=10, carries_relu=True),
    ),
    Op(
        "convolution",
        rule=Rule.PRODUCT,
        scales_in_c=Scales.CHANNELS,
        spatial=True,
        tflite=Tflite(options=20),
        onnx=Onnx(letters=4, attributes=85, carries_relu=True),
    ),
    Op(
        "convtranspose",
        rule=Rule.PRODUCT,
        spatial=True,
        real_in_c=Real.ALWAYS,
        tflite=Tflite(options=16, shaped=True),
        onnx=Onnx(attributes=100, carries_relu=True),
    ),
    # What moves numbers or only calls them otherwise.
    Op("identity", rule=Rule.FREE, view=True, converts=True),
    Op("reshape", rule=Rule.FREE, view=True, tflite=Tflite(shaped=True), onnx=Onnx(shaped=True)),
    Op("flatten", of="reshape", rule=Rule.FREE, view=True, tflite=Tflite(shaped=True), onnx=Onnx(shaped=True)),
    Op("squeeze", of="reshape", rule=Rule.FREE, view=True, tflite=Tflite(shaped=True), onnx=Onnx(shaped=True)),
    Op("unsqueeze", of="reshape", rule=Rule.FREE, view=True, tflite=Tflite(shaped=True), onnx=Onnx(shaped=True)),
    Op("expanddims", of="reshape", rule=Rule.FREE, view=True, tflite=Tflite(shaped=True), onnx=Onnx(shaped=True)),
    Op("transpose", rule=Rule.FREE, tflite=Tflite(shaped=True), onnx=Onnx(letters=9, attributes=17)),
    Op("permute", of="transpose", tflite=Tflite(shaped=True)),
    Op("concatenate", passes_layout=True, tflite=Tflite(options=4), onnx=Onnx(attributes=13)),
    Op("pad", rule=Rule.FREE, tflite=Tflite(shaped=True), onnx=Onnx(shaped=True)),
    Op("zeropadding1d", tflite=Tflite(shaped=True), onnx=Onnx(shaped=True)),
    Op("zeropadding2d", passes_layout=True, tflite=Tflite(shaped=True), onnx=Onnx(shaped=True)),
    Op("cropping1d", tflite=Tflite(shaped=True), onnx=Onnx(shaped=True)),
    Op("cropping2d", tflite=Tflite(shaped=True), onnx=Onnx(shaped=True)),
    Op("tile", rule=Rule.FREE, tflite=Tflite(shaped=True), onnx=Onnx(3, shaped=True)),
    Op("repeatvector", tflite=Tflite(shaped=True), onnx=Onnx(shaped=True)),
    Op("getitem", tflite=Tflite(shaped=True), onnx=Onnx(shaped=True)),
    Op("upsampling1d", spatial=True, tflite=Tflite(3, shaped=True)),
    Op("upsampling2d", spatial=True, tflite=Tflite(5, shaped=True)),
    Op("cast", rule=Rule.FREE, converts=True),
    Op("quantize", rule=Rule.FREE, converts=True),
    Op("dequantize", rule=Rule.FREE, converts=True),
    # Arithmetic, element by element.
    Op(
        "add",
        rule=Rule.ARITHMETIC,
        scales_in_c=Scales.TENSORS,
        elementwise=True,
        passes_layout=True,
        tflite=Tflite(options=4),
        onnx=Onnx(letters=3, carries_relu=True),
    ),
    Op("sub", of="add", rule=Rule.ARITHMETIC, elementwise=True),
    Op("subtract", of="add", elementwise=True, passes_layout=True, real_in_c=Real.AT_THE_END, tflite=Tflite(options=4)),
    Op(
        "mul",
        rule=Rule.ARITHMETIC,
        scales_in_c=Scales.TENSORS,
        elementwise=True,
        passes_layout=True,
        tflite=Tflite(options=4),
        onnx=Onnx(letters=3),
    ),
    Op(
        "multiply", of="mul", scales_in_c=Scales.TENSORS, elementwise=True, passes_layout=True, tflite=Tflite(options=4)
    ),
    Op("div", rule=Rule.ARITHMETIC, elementwise=True),
    Op("divide", of="div", elementwise=True),
    Op("min", rule=Rule.FREE, elementwise=True),
    Op("minimum", rule=Rule.FREE, elementwise=True, passes_layout=True),
    Op("max", rule=Rule.FREE, elementwise=True),
    Op("maximum", rule=Rule.FREE, elementwise=True, passes_layout=True),
    Op("pow", elementwise=True),
    Op("neg", elementwise=True),
    Op("abs", elementwise=True),
    Op("sqrt", elementwise=True),
    Op("exp", elementwise=True),
    Op("log", elementwise=True),
    Op("erf", elementwise=True),
    Op("reciprocal", elementwise=True),
    Op("clip", rule=Rule.FREE, elementwise=True),
    Op("qlinearadd", elementwise=True),
    Op("qlinearmul", elementwise=True),
    Op("lookup", elementwise=True),
    # Pooling and means.
    Op("maxpooling1d", spatial=True, tflite=Tflite(options=24), onnx=Onnx(attributes=60)),
    Op("maxpooling2d", spatial=True, tflite=Tflite(options=24), onnx=Onnx(attributes=60)),
    Op("averagepooling1d", spatial=True, tflite=Tflite(options=24), onnx=Onnx(attributes=60)),
    Op("averagepooling2d", spatial=True, tflite=Tflite(options=24), onnx=Onnx(attributes=60)),
    Op("globalmaxpooling1d", spatial=True, real_in_c=Real.ALWAYS, tflite=Tflite(shaped=True)),
    Op("globalmaxpooling2d", spatial=True, real_in_c=Real.ALWAYS, tflite=Tflite(shaped=True)),
    Op("globalaveragepooling1d", spatial=True, tflite=Tflite(shaped=True)),
    Op("globalaveragepooling2d", spatial=True, tflite=Tflite(shaped=True)),
    Op(
        "mean",
        rule=Rule.FREE,
        real_in_c=Real.AT_THE_END,
        tflite=Tflite(options=4, shaped=True),
        onnx=Onnx(attributes=30),
    ),
    # Activations.
    Op("relu", rule=Rule.FREE, rides=True, scales_in_c=Scales.NONE, elementwise=True, passes_layout=True),
    Op("relu6", rule=Rule.FREE, rides=True, elementwise=True, passes_layout=True),
    Op(
        "leakyrelu",
        rule=Rule.FREE,
        elementwise=True,
        passes_layout=True,
        tflite=Tflite(options=4),
        onnx=Onnx(attributes=16),
    ),
    Op("elu", rule=Rule.FREE, elementwise=True, passes_layout=True, real_in_c=Real.AT_THE_END),
    Op("selu", rule=Rule.FREE, elementwise=True, passes_layout=True, real_in_c=Real.AT_THE_END, tflite=Tflite(6)),
    Op("celu", elementwise=True, real_in_c=Real.AT_THE_END, tflite=Tflite(4)),
    Op("gelu", rule=Rule.FREE, elementwise=True, passes_layout=True, onnx=Onnx(6)),
    Op("silu", elementwise=True, passes_layout=True, tflite=Tflite(2), onnx=Onnx(2)),
    Op("swish", elementwise=True),
    Op("hardswish", rule=Rule.FREE, elementwise=True),
    Op("hardsilu", elementwise=True, passes_layout=True, onnx=Onnx(4)),
    Op("hardsigmoid", rule=Rule.FREE, elementwise=True, passes_layout=True, onnx=Onnx(3)),
    Op("hardtanh", onnx=Onnx(2)),
    Op("hardshrink", tflite=Tflite(3), onnx=Onnx(8)),
    Op("softshrink", tflite=Tflite(6), onnx=Onnx(16)),
    Op("tanh", rule=Rule.FREE, elementwise=True, passes_layout=True, real_in_c=Real.AT_THE_END),
    Op("tanhshrink", tflite=Tflite(2), onnx=Onnx(2)),
    Op("sigmoid", rule=Rule.FREE, elementwise=True, passes_layout=True),
    Op("logsigmoid", tflite=Tflite(5), onnx=Onnx(3)),
    Op("sparsesigmoid", tflite=Tflite(6), onnx=Onnx(16)),
    Op("softmax", rule=Rule.FREE, scales_in_c=Scales.NONE, tflite=Tflite(options=4), onnx=Onnx(attributes=15)),
    Op("logsoftmax", rule=Rule.FREE, real_in_c=Real.ALWAYS, onnx=Onnx(attributes=15)),
    Op("sparsemax", tflite=Tflite(13), onnx=Onnx(19)),
    Op("softplus", rule=Rule.FREE, elementwise=True, passes_layout=True, real_in_c=Real.AT_THE_END, tflite=Tflite(3)),
    Op("sparseplus", tflite=Tflite(7), onnx=Onnx(17)),
    Op("squareplus", tflite=Tflite(4), onnx=Onnx(5)),
    Op("softsign", rule=Rule.FREE, elementwise=True, real_in_c=Real.AT_THE_END, tflite=Tflite(3)),
    Op("exponential", elementwise=True, real_in_c=Real.AT_THE_END),
    Op("mish", elementwise=True, passes_layout=True, tflite=Tflite(5), onnx=Onnx(3)),
    # What files call otherwise than predictions do.
    Op("averagepool", rule=Rule.FREE),
    Op("averagepool2d", rule=Rule.FREE),
    Op("concat", rule=Rule.FREE),
    Op("concatenation", rule=Rule.FREE),
    Op("depthtospace", rule=Rule.FREE),
    Op("expand", rule=Rule.FREE),
    Op("fill", rule=Rule.FREE),
    Op("gather", rule=Rule.FREE),
    Op("globalaveragepool", rule=Rule.FREE),
    Op("globalmaxpool", rule=Rule.FREE),
    Op("logistic", rule=Rule.FREE),
    Op("maxpool", rule=Rule.FREE),
    Op("maxpool2d", rule=Rule.FREE),
    Op("mirrorpad", rule=Rule.FREE),
    Op("pack", rule=Rule.FREE),
    Op("padv2", rule=Rule.FREE),
    Op("reducemax", rule=Rule.FREE),
    Op("reducemean", rule=Rule.FREE),
    Op("reducemin", rule=Rule.FREE),
    Op("relun1to1", rule=Rule.FREE),
    Op("resize", rule=Rule.FREE),
    Op("resizebilinear", rule=Rule.FREE),
    Op("resizenearestneighbor", rule=Rule.FREE),
    Op("shape", rule=Rule.FREE),
    Op("slice", rule=Rule.FREE),
    Op("spacetodepth", rule=Rule.FREE),
    Op("split", rule=Rule.FREE),
    Op("splitv", rule=Rule.FREE),
    Op("stridedslice", rule=Rule.FREE),
    Op("unpack", rule=Rule.FREE),
    Op("conv", of="convolution", rule=Rule.PRODUCT),
    Op("conv2d", of="convolution", rule=Rule.PRODUCT),
    Op("depthwiseconv2d", of="convolution", rule=Rule.PRODUCT),
    Op("fullyconnected", of="product", rule=Rule.PRODUCT),
    Op("gemm", of="product", rule=Rule.PRODUCT),
    Op("matmul", of="product", rule=Rule.PRODUCT),
    Op("transposeconv", of="convtranspose", rule=Rule.PRODUCT),
    # Layers without a rule, of which so many operators are guessed.
    Op("embedding", tflite=Tflite(4), onnx=Onnx(1)),
    Op("layernormalization", tflite=Tflite(12), onnx=Onnx(9)),
    Op("simplernn", tflite=Tflite(25), onnx=Onnx(40)),
    Op("lstm", tflite=Tflite(35), onnx=Onnx(60)),
    Op("gru", tflite=Tflite(40), onnx=Onnx(70)),
    Op("bidirectional", tflite=Tflite(70), onnx=Onnx(120)),
    Op("multiheadattention", tflite=Tflite(25), onnx=Onnx(30)),
)
_OPS = {op.name: op for op in _ROWS}

ADD, CONVOLUTION, FLATTEN, PRODUCT, RELU, RESHAPE, TRANSPOSE = map(
    named, "add convolution flatten product relu reshape transpose".split()
)
TRANSPOSED_CONVOLUTION = named("convtranspose")
