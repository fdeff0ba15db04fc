"""The same operators by Arm's CMSIS-NN, from a checkout of the user's: programs for `python tools/benchmark.py c`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgett.device.program import Program
from edgett.graph.wire import WirePort

_FOLDERS = ("NNSupportFunctions", "FullyConnectedFunctions", "ConvolutionFunctions")
_OTHERS = ("_flt", "_f16", "_f32")

_HEAD = """#include "arm_nnfunctions.h"
#include "arm_nnsupportfunctions.h"
static const int8_t weights[{weights}] = {{1, -2, 3}};
static const int32_t biases[{columns}] = {{4, -5, 6}};
static int32_t multipliers[{columns}], shifts[{columns}];
static int32_t room[{room}];
"""
_PRODUCT = """void model_run(const int8_t *x, int8_t *y) {{
    for (int i = 0; i < {columns}; ++i) {{ multipliers[i] = 1431655765; shifts[i] = -7; }}
    arm_nn_mat_mult_nt_t_s8(x, weights, biases, y, multipliers, shifts, {rows}, {columns}, {inner}, 5, -3, -128, 127,
                            {columns}, {inner});
}}
"""
_VECTOR = """void model_run(const int8_t *x, int8_t *y) {{
    const cmsis_nn_context context = {{room, sizeof room}};
    const cmsis_nn_fc_params how = {{5, 0, -3, {{-128, 127}}}};
    const cmsis_nn_per_tensor_quant_params scale = {{1431655765, -7}};
    const cmsis_nn_dims in = {{{rows}, 1, 1, {inner}}}, filter = {{{inner}, 1, 1, {columns}}};
    const cmsis_nn_dims bias = {{1, 1, 1, {columns}}}, out = {{{rows}, 1, 1, {columns}}};
    arm_fully_connected_s8(&context, &how, &scale, &in, x, &filter, weights, &bias, biases, &out, y);
}}
"""
_CONVOLUTION = """void model_run(const int8_t *x, int8_t *y) {{
    for (int i = 0; i < {columns}; ++i) {{ multipliers[i] = 1431655765; shifts[i] = -7; }}
    const cmsis_nn_context context = {{room, sizeof room}};
    const cmsis_nn_{deep}conv_params how = {{
        5, -3, {multiplier}{{{stride}, {stride}}}, {{{pad}, {pad}}}, {{1, 1}}, {{-128, 127}}
    }};
    const cmsis_nn_per_channel_quant_params scale = {{multipliers, shifts}};
    const cmsis_nn_dims in = {{1, {size}, {size}, {inputs}}}, filter = {{{first}, {taps}, {taps}, {last}}};
    const cmsis_nn_dims bias = {{1, 1, 1, {columns}}}, out = {{1, {made}, {made}, {columns}}};
    arm_{name}_wrapper_s8(&context, &how, &scale, &in, x, &filter, weights, &bias, biases, &out, y);
}}
"""


def program(
    checkout: Path, reads: tuple[int, ...], weight: tuple[int, ...], writes: tuple[int, ...], stride: int, group: int
) -> Program:
    """An int8 operator, its sizes as ONNX has them, with any numbers: instructions do not depend on them.

    Setting the scales counts with it, as edgett's loading them does. CMSIS-NN has channels last.
    """
    sizes = {"weights": int(np.prod(weight)), "columns": weight[0], "inner": int(np.prod(weight[1:])), "room": 16384}
    if len(reads) == 2:
        text = (_VECTOR if reads[0] == 1 else _PRODUCT).format(**sizes, rows=reads[0])
    else:
        deep = group > 1
        text = _CONVOLUTION.format(
            **sizes, deep="dw_" if deep else "", multiplier="1, " if deep else "", stride=stride,
            pad=(weight[2] - 1) // 2, size=reads[2], inputs=reads[1], first=1 if deep else weight[0], taps=weight[2],
            last=weight[0] if deep else weight[1], made=writes[2], name="depthwise_conv" if deep else "convolve",
        )  # fmt: skip
    sources = [
        path for folder in _FOLDERS for path in sorted((checkout / "Source" / folder).glob("*.c"))
        if not any(word in path.name for word in _OTHERS)
    ]  # fmt: skip
    code = _HEAD.format(**sizes) + text + "".join(f'#include "{path}"\n' for path in sources)
    ends = WirePort("x", "x", reads, "int8", 1.0, 0), WirePort("y", "y", writes, "int8", 1.0, 0)
    header = "#include <stdint.h>\nvoid model_run(const int8_t *x, int8_t *y);\n"
    return Program("model", header, code, ends[:1], ends[1:])
