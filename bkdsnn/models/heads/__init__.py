"""Classification heads that return logits (T, B, K)."""
from .spiking_distillation_head import SpikingDistillationHead
from .spiking_linear_head import SpikingLinearHead

__all__ = ['SpikingDistillationHead', 'SpikingLinearHead']
