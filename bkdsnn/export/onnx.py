"""Students as ONNX models."""
import io
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Dict, Optional

import torch
from torch import Tensor
from torch.export import ExportedProgram

from ..utils.optional import require
from ..version import __version__
from .check import DiffersError, Runner

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUTS = 'inputs', ('scores', 'step_logits')


def to_onnx(program: ExportedProgram, opset: Optional[int] = None, optimize: bool = True) -> 'onnx.ModelProto':
    """Convert a program of :func:`bkdsnn.export.to_program`.

    Args:
        program: The student; its input is called ``inputs`` and its outputs ``scores`` and ``step_logits``.
        opset: Version of the operators; ``None`` takes that of PyTorch.
        optimize: Fold constants and drop what is not needed.

    Raises:
        ModuleNotFoundError: If onnx or onnxscript is not installed.
    """
    for package in ('onnx', 'onnxscript'):
        require(package, package, 'the export to ONNX')
    with redirect_stdout(io.StringIO()):
        exported = torch.onnx.export(program, input_names=[INPUT], output_names=list(OUTPUTS), opset_version=opset,
                                     dynamo=True, optimize=optimize, verbose=False)
    model = exported.model_proto
    _tidy(model)
    model.producer_name, model.producer_version = 'bkdsnn', __version__
    return model


def _tidy(model: 'onnx.ModelProto') -> None:
    """Call the axis of any length ``batch``, and leave out where on this machine each node comes from."""
    symbol = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if symbol and dim.dim_param:
                dim.dim_param = dim.dim_param.replace(symbol, 'batch')
    for node in model.graph.node:
        kept = [prop for prop in node.metadata_props if prop.key == 'namespace']
        del node.metadata_props[:]
        node.metadata_props.extend(kept)


def onnx_runner(content: bytes) -> Runner:
    """The model in a file, run by onnxruntime on the CPU, for :func:`bkdsnn.export.check`.

    Args:
        content: Of the file.

    Raises:
        ModuleNotFoundError: If onnxruntime is not installed.
    """
    session = _session(content)

    def logits(inputs: Tensor) -> Tensor:
        return torch.from_numpy(session.run(OUTPUTS[1:], {INPUT: inputs.numpy()})[0])

    return Runner(logits, lambda inputs, like: _spikes(content, inputs, like))


def _session(content: bytes):
    onnxruntime = require('onnxruntime', 'onnxruntime', 'the check of an ONNX model')
    return onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider'])


def _spikes(content: bytes, inputs: Tensor, like: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Of each neuron what its comparisons with the threshold give, which stand in the order of neurons and steps."""
    import onnx  # optional
    model = onnx.load_model_from_string(content)
    names = [node.output[0] for node in model.graph.node if node.op_type in ('GreaterOrEqual', 'Greater')]
    if len(names) != sum(map(len, like.values())):
        raise DiffersError(f'the ONNX model compares membranes with a threshold {len(names)} times and not once for '
                           'each neuron and time step, so that its spikes cannot be compared.')
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    fired = iter(_session(model.SerializeToString()).run(names, {INPUT: inputs.numpy()}))
    return {path: torch.stack([torch.from_numpy(next(fired)) for _ in spikes]) for path, spikes in like.items()}
