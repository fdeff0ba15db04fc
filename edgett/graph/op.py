"""The operators that graphs are made of: what each is to memory, to time, and to the files that hold it.

A row an operator, under the name that Keras, TensorFlow Lite and ONNX give it, in lower case and without underscores.
What memory, order, time, C, the bytes of files, the converters and their cross-check have to know of it they ask its
row.
"""

from __future__ import annotations

import functools

from edgett.graph.traits import Onnx, Op, Real, Rule, Scales, Tflite

# What others are compared as.
PRODUCT = Op(
    "product",
    rule=Rule.PRODUCT,
    scales_in_c=Scales.COLUMNS,
    tflite=Tflite(options=4),
    onnx=Onnx(letters=6, carries_relu=True),
)
CONVOLUTION = Op(
    "convolution",
    rule=Rule.PRODUCT,
    scales_in_c=Scales.COLUMNS,
    spatial=True,
    tflite=Tflite(options=20),
    onnx=Onnx(letters=4, attributes=85, carries_relu=True),
)
TRANSPOSED_CONVOLUTION = Op(
    "convtranspose",
    rule=Rule.PRODUCT,
    spatial=True,
    real_in_c=Real.ALWAYS,
    tflite=Tflite(options=16, shaped=True),
    onnx=Onnx(attributes=100, carries_relu=True),
)
RESHAPE = Op(
    "reshape",
    rule=Rule.FREE,
    view=True,
    tflite=Tflite(shaped=True, micro=True),
    onnx=Onnx(shaped=True),
    foretold=True,
    moves=True,
)
TRANSPOSE = Op(
    "transpose",
    rule=Rule.FREE,
    tflite=Tflite(shaped=True, micro=True),
    onnx=Onnx(letters=9, attributes=17),
    foretold=True,
    moves=True,
)
ADD = Op(
    "add",
    rule=Rule.ARITHMETIC,
    scales_in_c=Scales.NONE,
    elementwise=True,
    passes_layout=True,
    tflite=Tflite(options=4, micro=True),
    onnx=Onnx(letters=3, carries_relu=True, integer="QLinearAdd"),
)
MUL = Op(
    "mul",
    rule=Rule.ARITHMETIC,
    scales_in_c=Scales.TENSORS,
    elementwise=True,
    passes_layout=True,
    tflite=Tflite(options=4, micro=True),
    onnx=Onnx(letters=3, integer="QLinearMul"),
)
DIV = Op("div", rule=Rule.ARITHMETIC, elementwise=True, tflite=Tflite(micro=True))

_MICRO = (
    "addn argmax argmin assignvariable batchtospacend broadcastargs broadcastto callonce ceil cos "
    "dynamicupdateslice embeddinglookup equal floor floordiv floormod gathernd greater greaterequal if "
    "l2normalization l2pool2d less lessequal logicaland logicalnot logicalor notequal prelu readvariable "
    "reduceall reversev2 round rsqrt selectv2 sin spacetobatchnd square squareddifference sum svdf varhandle "
    "while zeroslike"
).split()

ROWS = (
    # What multiplies by a stored weight.
    PRODUCT,
    Op(
        "dense",
        of=PRODUCT,
        rule=Rule.PRODUCT,
        scales_in_c=Scales.COLUMNS,
        tflite=Tflite(options=4),
        onnx=Onnx(letters=5, attributes=10, carries_relu=True),
    ),
    CONVOLUTION,
    TRANSPOSED_CONVOLUTION,
    # What moves numbers or only calls them otherwise.
    Op("identity", rule=Rule.FREE, view=True, moves=True),
    RESHAPE,
    Op(
        "flatten",
        of=RESHAPE,
        rule=Rule.FREE,
        view=True,
        tflite=Tflite(shaped=True),
        onnx=Onnx(shaped=True),
        foretold=True,
        moves=True,
    ),
    Op(
        "squeeze",
        of=RESHAPE,
        rule=Rule.FREE,
        view=True,
        tflite=Tflite(shaped=True, micro=True),
        onnx=Onnx(shaped=True),
        foretold=True,
        moves=True,
    ),
    Op(
        "unsqueeze",
        of=RESHAPE,
        rule=Rule.FREE,
        view=True,
        tflite=Tflite(shaped=True),
        onnx=Onnx(shaped=True),
        moves=True,
    ),
    Op(
        "expanddims",
        of=RESHAPE,
        rule=Rule.FREE,
        view=True,
        tflite=Tflite(shaped=True, micro=True),
        onnx=Onnx(shaped=True),
        foretold=True,
    ),
    TRANSPOSE,
    Op("permute", of=TRANSPOSE, tflite=Tflite(shaped=True), foretold=True),
    Op("concatenate", passes_layout=True, tflite=Tflite(options=4), onnx=Onnx(attributes=13), foretold=True),
    Op("pad", rule=Rule.FREE, tflite=Tflite(shaped=True, micro=True), onnx=Onnx(shaped=True), moves=True),
    Op("zeropadding1d", tflite=Tflite(shaped=True), onnx=Onnx(shaped=True), foretold=True),
    Op("zeropadding2d", passes_layout=True, tflite=Tflite(shaped=True), onnx=Onnx(shaped=True), foretold=True),
    Op("cropping1d", tflite=Tflite(shaped=True), onnx=Onnx(shaped=True), foretold=True),
    Op("cropping2d", tflite=Tflite(shaped=True), onnx=Onnx(shaped=True), foretold=True),
    Op("tile", rule=Rule.FREE, tflite=Tflite(shaped=True), onnx=Onnx(3, shaped=True), moves=True),
    Op("repeatvector", tflite=Tflite(shaped=True), onnx=Onnx(shaped=True), foretold=True),
    Op("getitem", tflite=Tflite(shaped=True), onnx=Onnx(shaped=True), foretold=True),
    Op("upsampling1d", spatial=True, tflite=Tflite(3, shaped=True), foretold=True),
    Op("upsampling2d", spatial=True, tflite=Tflite(5, shaped=True), foretold=True),
    Op("cast", rule=Rule.FREE, foretold=True, tflite=Tflite(micro=True)),
    Op("quantize", rule=Rule.FREE, converts=True, tflite=Tflite(micro=True)),
    Op("dequantize", rule=Rule.FREE, converts=True, tflite=Tflite(micro=True)),
    # Arithmetic, element by element.
    ADD,
    Op(
        "sub",
        of=ADD,
        rule=Rule.ARITHMETIC,
        elementwise=True,
        tflite=Tflite(micro=True),
        onnx=Onnx(integer="QLinearAdd"),
    ),
    Op("subtract", of=ADD, elementwise=True, passes_layout=True, real_in_c=Real.AT_THE_END, tflite=Tflite(options=4)),
    MUL,
    Op("multiply", of=MUL, scales_in_c=Scales.TENSORS, elementwise=True, passes_layout=True, tflite=Tflite(options=4)),
    DIV,
    Op("divide", of=DIV, elementwise=True),
    Op("min", rule=Rule.FREE, elementwise=True),
    Op("minimum", rule=Rule.FREE, elementwise=True, passes_layout=True, foretold=True, tflite=Tflite(micro=True)),
    Op("max", rule=Rule.FREE, elementwise=True),
    Op("maximum", rule=Rule.FREE, elementwise=True, passes_layout=True, foretold=True, tflite=Tflite(micro=True)),
    Op("pow", elementwise=True),
    Op("neg", elementwise=True, tflite=Tflite(micro=True)),
    Op("abs", elementwise=True, tflite=Tflite(micro=True)),
    Op("sqrt", elementwise=True, tflite=Tflite(micro=True)),
    Op("exp", elementwise=True, tflite=Tflite(micro=True)),
    Op("log", elementwise=True, tflite=Tflite(micro=True)),
    Op("erf", elementwise=True),
    Op("reciprocal", elementwise=True),
    Op("clip", rule=Rule.FREE, elementwise=True),
    Op("qlinearadd", elementwise=True, onnx=Onnx(contributed=True)),
    Op("qlinearmul", elementwise=True, onnx=Onnx(contributed=True)),
    Op("lookup", elementwise=True),
    # Pooling and means.
    Op("maxpooling1d", spatial=True, tflite=Tflite(options=24), onnx=Onnx(attributes=60), foretold=True),
    Op("maxpooling2d", spatial=True, tflite=Tflite(options=24), onnx=Onnx(attributes=60), foretold=True),
    Op("averagepooling1d", spatial=True, tflite=Tflite(options=24), onnx=Onnx(attributes=60), foretold=True),
    Op("averagepooling2d", spatial=True, tflite=Tflite(options=24), onnx=Onnx(attributes=60), foretold=True),
    Op("globalmaxpooling1d", real_in_c=Real.ALWAYS, tflite=Tflite(shaped=True), foretold=True),
    Op("globalmaxpooling2d", spatial=True, real_in_c=Real.ALWAYS, tflite=Tflite(shaped=True), foretold=True),
    Op("globalaveragepooling1d", tflite=Tflite(shaped=True), foretold=True),
    Op("globalaveragepooling2d", spatial=True, tflite=Tflite(shaped=True), foretold=True),
    Op(
        "mean",
        rule=Rule.FREE,
        real_in_c=Real.AT_THE_END,
        tflite=Tflite(options=4, shaped=True, micro=True),
        onnx=Onnx(attributes=30),
        foretold=True,
    ),
    # Activations; a linear one is no operator at all.
    Op("linear", rides=True),
    Op(
        "relu",
        rule=Rule.FREE,
        rides=True,
        scales_in_c=Scales.NONE,
        elementwise=True,
        passes_layout=True,
        foretold=True,
        tflite=Tflite(micro=True),
    ),
    Op(
        "relu6",
        rule=Rule.FREE,
        rides=True,
        scales_in_c=Scales.NONE,
        elementwise=True,
        passes_layout=True,
        foretold=True,
        tflite=Tflite(micro=True),
    ),
    Op(
        "leakyrelu",
        rule=Rule.FREE,
        elementwise=True,
        passes_layout=True,
        tflite=Tflite(options=4, micro=True),
        onnx=Onnx(attributes=16),
    ),
    Op(
        "elu",
        rule=Rule.FREE,
        elementwise=True,
        passes_layout=True,
        real_in_c=Real.AT_THE_END,
        tflite=Tflite(micro=True),
    ),
    Op("selu", rule=Rule.FREE, elementwise=True, passes_layout=True, real_in_c=Real.AT_THE_END, tflite=Tflite(6)),
    Op("celu", elementwise=True, real_in_c=Real.AT_THE_END, tflite=Tflite(4)),
    Op("gelu", rule=Rule.FREE, elementwise=True, passes_layout=True, onnx=Onnx(6)),
    Op("silu", elementwise=True, passes_layout=True, tflite=Tflite(2), onnx=Onnx(2)),
    Op("swish", elementwise=True),
    Op("hardswish", rule=Rule.FREE, elementwise=True, tflite=Tflite(micro=True)),
    Op("hardsilu", elementwise=True, passes_layout=True, onnx=Onnx(4)),
    Op("hardsigmoid", rule=Rule.FREE, elementwise=True, passes_layout=True, onnx=Onnx(3)),
    Op("hardtanh", onnx=Onnx(2)),
    Op("hardshrink", tflite=Tflite(3), onnx=Onnx(8)),
    Op("softshrink", tflite=Tflite(6), onnx=Onnx(16)),
    Op(
        "tanh",
        rule=Rule.FREE,
        elementwise=True,
        passes_layout=True,
        real_in_c=Real.AT_THE_END,
        foretold=True,
        tflite=Tflite(micro=True),
    ),
    Op("tanhshrink", tflite=Tflite(2), onnx=Onnx(2)),
    Op("sigmoid", rule=Rule.FREE, elementwise=True, passes_layout=True, foretold=True),
    Op("logsigmoid", tflite=Tflite(5), onnx=Onnx(3)),
    Op("sparsesigmoid", tflite=Tflite(6), onnx=Onnx(16)),
    Op(
        "softmax",
        rule=Rule.FREE,
        scales_in_c=Scales.NONE,
        tflite=Tflite(options=4, micro=True),
        onnx=Onnx(attributes=15, integer="QLinearSoftmax"),
        foretold=True,
    ),
    Op("logsoftmax", rule=Rule.FREE, real_in_c=Real.ALWAYS, onnx=Onnx(attributes=15), tflite=Tflite(micro=True)),
    Op("sparsemax", tflite=Tflite(13), onnx=Onnx(19)),
    Op("softplus", rule=Rule.FREE, elementwise=True, passes_layout=True, real_in_c=Real.AT_THE_END, tflite=Tflite(3)),
    Op("sparseplus", tflite=Tflite(7), onnx=Onnx(17)),
    Op("squareplus", tflite=Tflite(4), onnx=Onnx(5)),
    Op("softsign", rule=Rule.FREE, elementwise=True, real_in_c=Real.AT_THE_END, tflite=Tflite(3)),
    Op("exponential", elementwise=True, real_in_c=Real.AT_THE_END),
    Op("mish", elementwise=True, passes_layout=True, tflite=Tflite(5), onnx=Onnx(3)),
    # What files call otherwise than predictions do.
    Op("averagepool", rule=Rule.FREE, onnx=Onnx(integer="QLinearAveragePool")),
    Op("averagepool2d", rule=Rule.FREE, tflite=Tflite(micro=True)),
    Op("concat", rule=Rule.FREE, onnx=Onnx(integer="QLinearConcat")),
    Op("concatenation", rule=Rule.FREE, tflite=Tflite(micro=True)),
    Op("depthtospace", rule=Rule.FREE, moves=True, tflite=Tflite(micro=True)),
    Op("expand", rule=Rule.FREE, moves=True),
    Op("fill", rule=Rule.FREE, tflite=Tflite(micro=True)),
    Op("gather", rule=Rule.FREE, tflite=Tflite(micro=True)),
    Op("globalaveragepool", rule=Rule.FREE, onnx=Onnx(integer="QLinearGlobalAveragePool")),
    Op("globalmaxpool", rule=Rule.FREE),
    Op("logistic", rule=Rule.FREE, tflite=Tflite(micro=True)),
    Op("maxpool", rule=Rule.FREE, moves=True),
    Op("maxpool2d", rule=Rule.FREE, tflite=Tflite(micro=True)),
    Op("mirrorpad", rule=Rule.FREE, tflite=Tflite(micro=True)),
    Op("pack", rule=Rule.FREE, tflite=Tflite(micro=True)),
    Op("padv2", rule=Rule.FREE, tflite=Tflite(micro=True, method="AddPadV2")),
    Op("reducemax", rule=Rule.FREE, tflite=Tflite(micro=True)),
    Op("reducemean", rule=Rule.FREE, onnx=Onnx(integer="QLinearAveragePool")),
    Op("reducemin", rule=Rule.FREE, tflite=Tflite(micro=True)),
    Op("relun1to1", rule=Rule.FREE),
    Op("resize", rule=Rule.FREE),
    Op("resizebilinear", rule=Rule.FREE, tflite=Tflite(micro=True)),
    Op("resizenearestneighbor", rule=Rule.FREE, tflite=Tflite(micro=True)),
    Op("shape", rule=Rule.FREE, tflite=Tflite(micro=True)),
    Op("slice", rule=Rule.FREE, moves=True, tflite=Tflite(micro=True)),
    Op("spacetodepth", rule=Rule.FREE, moves=True, tflite=Tflite(micro=True)),
    Op("split", rule=Rule.FREE, tflite=Tflite(micro=True)),
    Op("splitv", rule=Rule.FREE, tflite=Tflite(micro=True)),
    Op("stridedslice", rule=Rule.FREE, tflite=Tflite(micro=True)),
    Op("unpack", rule=Rule.FREE, tflite=Tflite(micro=True)),
    Op("conv", of=CONVOLUTION, rule=Rule.PRODUCT, onnx=Onnx(integer="QLinearConv")),
    Op("conv1d", of=CONVOLUTION, rule=Rule.PRODUCT, spatial=True),
    Op("conv2d", of=CONVOLUTION, rule=Rule.PRODUCT, spatial=True, tflite=Tflite(micro=True)),
    Op("depthwiseconv1d", of=CONVOLUTION, rule=Rule.PRODUCT, spatial=True),
    Op("depthwiseconv2d", of=CONVOLUTION, rule=Rule.PRODUCT, spatial=True, tflite=Tflite(micro=True)),
    Op("separableconv2d", of=CONVOLUTION, rule=Rule.PRODUCT, spatial=True),
    Op("conv2dtranspose", of=TRANSPOSED_CONVOLUTION, rule=Rule.PRODUCT, spatial=True),
    Op("fullyconnected", of=PRODUCT, rule=Rule.PRODUCT, tflite=Tflite(micro=True)),
    Op("gemm", of=PRODUCT, rule=Rule.PRODUCT, onnx=Onnx(integer="QGemm")),
    Op("matmul", of=PRODUCT, rule=Rule.PRODUCT, onnx=Onnx(integer="QGemm")),
    Op("transposeconv", of=TRANSPOSED_CONVOLUTION, rule=Rule.PRODUCT, tflite=Tflite(micro=True)),
    # ONNX Runtime's own, and those of int8.
    Op("qgemm", of=PRODUCT, rule=Rule.PRODUCT, onnx=Onnx(contributed=True)),
    Op("qlinearconv", of=CONVOLUTION, rule=Rule.PRODUCT),
    Op("qlinearsoftmax", onnx=Onnx(contributed=True)),
    Op("qlinearaveragepool", onnx=Onnx(contributed=True)),
    Op("qlinearglobalaveragepool", onnx=Onnx(contributed=True)),
    Op("qlinearconcat", onnx=Onnx(contributed=True)),
    Op("quantizelinear", rule=Rule.FREE, elementwise=True, converts=True),
    Op("dequantizelinear", rule=Rule.FREE, elementwise=True, converts=True),
    Op("batchmatmul", tflite=Tflite(micro=True, method="AddBatchMatMul")),
    Op("cumsum", tflite=Tflite(micro=True, method="AddCumSum")),
    Op("unidirectionalsequencelstm", tflite=Tflite(micro=True, method="AddUnidirectionalSequenceLSTM")),
    # What is known of them is that LiteRT for Microcontrollers has them.
    *(Op(name, tflite=Tflite(micro=True)) for name in _MICRO),
    # Layers without a rule, of which so many operators are guessed.
    Op("embedding", tflite=Tflite(4), onnx=Onnx(1)),
    Op("layernormalization", tflite=Tflite(12), onnx=Onnx(9)),
    Op("simplernn", tflite=Tflite(25), onnx=Onnx(40)),
    Op("lstm", tflite=Tflite(35), onnx=Onnx(60)),
    Op("gru", tflite=Tflite(40), onnx=Onnx(70)),
    Op("bidirectional", tflite=Tflite(70), onnx=Onnx(120)),
    Op("multiheadattention", tflite=Tflite(25), onnx=Onnx(30)),
)
_OPS = {op.name: op for op in ROWS}


@functools.cache
def named(operator: str) -> Op:
    """Look an operator up by the name that Keras, TensorFlow Lite or ONNX gives it.

    Args:
        operator: the name, in whatever case, with or without underscores.

    Returns:
        Its row of `ROWS`; one of no special properties where there is none.
    """
    name = operator.lower().replace("_", "")
    return _OPS.get(name, Op(name))


CAST, DENSE, FLATTEN, IDENTITY, RELU, RELU6 = map(named, "cast dense flatten identity relu relu6".split())
SUBTRACT, MULTIPLY = map(named, "subtract multiply".split())
"""Of Keras."""
AVERAGE_POOL, CONCAT, CONV, GEMM, GLOBAL_AVERAGE_POOL, MATMUL, PAD, REDUCE_MEAN, SOFTMAX, SUB = map(
    named, "averagepool concat conv gemm globalaveragepool matmul pad reducemean softmax sub".split()
)
GLOBAL_MAX_POOL, MAX_POOL = map(named, "globalmaxpool maxpool".split())
"""Of ONNX."""
QGEMM, QLINEAR_ADD, QLINEAR_AVERAGE_POOL, QLINEAR_CONV, QLINEAR_GLOBAL_AVERAGE_POOL, QLINEAR_SOFTMAX = map(
    named, "qgemm qlinearadd qlinearaveragepool qlinearconv qlinearglobalaveragepool qlinearsoftmax".split()
)
"""Of ONNX Runtime, on int8."""
