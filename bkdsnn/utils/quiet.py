"""Importing mmpretrain without what it prints about optional parts that nothing here uses."""
import contextlib
import io
import warnings

with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
    warnings.simplefilter('ignore')
    import mmpretrain.datasets
    import mmpretrain.models  # noqa: F401
