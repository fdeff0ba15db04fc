"""What the tensors of a .tflite hold while it runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from numpy.typing import NDArray

from edgett.export.calibration import Calibration
from edgett.graph.wire import litert_port


def watched(content: bytes, wanted: Collection[int], batches: Calibration) -> Iterator[dict[int, NDArray[Any]]]:
    """Run a model on batches and look at some of its tensors.

    Args:
        content: the file.
        wanted: the numbers of the tensors.
        batches: inputs by name.

    Returns:
        For each batch the real numbers that the tensors hold, by their number.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # A delegate computes several operators at once and keeps what is between them to itself.
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(
        model_content=content,
        num_threads=1,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=plain,
    )
    interpreter.allocate_tensors()
    serve = interpreter.get_signature_runner()
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    ports = {name: litert_port(detail) for name, detail in serve.get_input_details().items()}
    for batch in batches:
        serve(**{name: port.stored(batch[name]) for name, port in ports.items()})
        yield {index: litert_port(details[index]).real(interpreter.get_tensor(index)) for index in wanted}
