"""Optimizers whose state is shared out among the processes: ZeRO's first stage, by PyTorch and mmengine."""
from mmengine.config import Config

SHARDED = 'ZeroRedundancyOptimizer'
# What the sharing takes, and the optimizer inside does not.
OF_SHARING = ('optimizer_type', 'process_group', 'parameters_as_bucket_view', 'overlap_with_ddp')


def is_sharded(optimizer: dict) -> bool:
    """Whether the config of an optimizer shares its state out."""
    return str(optimizer.get('type')).rpartition('.')[2] == SHARDED


def unsharded(optimizer: dict) -> dict:
    """The config of the optimizer that one process would have, which needs no others."""
    if not is_sharded(optimizer):
        return optimizer
    if not optimizer.get('optimizer_type'):
        raise ValueError(f"{SHARDED} needs optimizer_type, the name of PyTorch's optimizer, such as 'AdamW'.")
    return {**{key: value for key, value in optimizer.items() if key not in OF_SHARING},
            'type': optimizer['optimizer_type']}


def check_processes(cfg: Config) -> None:
    """Check that there are processes to share among.

    Raises:
        ValueError: If there are none.
    """
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    if is_sharded(optimizer) and cfg.get('launcher', 'none') == 'none':
        raise ValueError(f'optim_wrapper.optimizer.type={SHARDED} shares its state out among processes, and there is '
                         'one. Start with tools/dist_train.sh CONFIG GPUS, or set optim_wrapper.optimizer.type='
                         f'{optimizer.get("optimizer_type")} without optimizer_type.')
