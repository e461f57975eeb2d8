"""Importing libraries without what they print about parts that nothing here uses."""
import contextlib
import io
import logging
import warnings

with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
    warnings.simplefilter('ignore')
    import mmpretrain.datasets
    import mmpretrain.models  # noqa: F401

# PyTorch's compiler looks for CUDA's, also for code that runs on a CPU.
logging.getLogger('torch.utils.cpp_extension').setLevel(logging.ERROR)
