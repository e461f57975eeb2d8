"""Students for other programs and for chips: NIR, ONNX and torch.export. The packages for these are optional."""
from .check import Check, DiffersError, Runner, check
from .deployed import Deployed
from .nir import nir_runner, nir_to_bytes, to_nir
from .nir_torch import from_nir, run_nir
from .onnx import onnx_runner, to_onnx
from .program import program_runner, program_to_bytes, to_program

__all__ = [
    'Check', 'Deployed', 'DiffersError', 'Runner', 'check', 'from_nir', 'nir_runner', 'nir_to_bytes', 'onnx_runner',
    'program_runner', 'program_to_bytes', 'run_nir', 'to_nir', 'to_onnx', 'to_program'
]
