"""Checkpoints, and a record of how far a run is, that outlive kills, full disks and copies of the folder."""
import os.path as osp
from collections import deque
from pathlib import Path
from typing import Dict, List, Optional

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, Runner

from bkdsnn.checkpoints.progress import NAME, Progress
from bkdsnn.registry import HOOKS
from bkdsnn.utils.atomic import remove_partial, write_atomically

from ..zero_optimizer import collect_state

RECORD = 'last_checkpoint'  # mmengine's


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """mmengine's hook of that name, in whose place it is, with these differences.

    - What a new checkpoint replaces is removed after that is written, and the record of the last one is written whole
      or not at all.
    - Only files in the run's own folder are removed: checkpoints know the best one by its path, which in a copied
      folder is that of the original.
    - A validation that a kill has interrupted is done when the run is resumed, the last one too.
    - ``progress.json`` says which validation was the last to end and, where a run begins anew in a folder, which
      checkpoints there are not its own, so that it is not resumed from those.
    - Checkpoints that were half written when a run was killed are removed.
    - The state of an optimizer that processes share out is collected first.
    """

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        resumed = runner._resume and runner.iter > 0
        if is_main_process():
            for folder, name in ((self.out_dir, '*.pth'), (runner.work_dir, RECORD), (runner.work_dir, NAME)):
                remove_partial(folder, name)
            self._begin(runner, resumed)
        if resumed:
            self._find_best(runner)
            if self._validation_was_lost(runner):
                print_log('The validation after the last checkpoint has not ended; it is done now.', logger='current')
                runner.val_loop.run()

    def after_val_epoch(self, runner: Runner, metrics: Dict[str, float]) -> None:
        super().after_val_epoch(runner, metrics)
        # A runner that only validates has not called before_train.
        if hasattr(self, 'file_backend') and is_main_process():
            progress = Progress.of(runner.work_dir)
            progress.validated_steps, progress.validated_epochs = runner.iter, runner.epoch
            progress.save(runner.work_dir)

    def _begin(self, runner: Runner, resumed: bool) -> None:
        """Write down what of the run is validated, and what the folder holds of other runs."""
        folders = [Path(folder).resolve() for folder in (runner.work_dir, self.out_dir)]
        found = sorted({path.name for folder in folders for path in folder.glob('*.pth')})
        progress = Progress(others=found)
        if resumed:
            checkpoint = Path(runner._load_from or osp.join(runner.work_dir, RECORD))
            is_own = checkpoint.parent.resolve() in folders
            progress = Progress.of(runner.work_dir if is_own else checkpoint.parent)
            others = progress.others if is_own else found
            progress.others = [name for name in others if name != checkpoint.name]
            # What came after the checkpoint is done again.
            progress.validated_steps = min(progress.validated_steps, runner.iter)
            progress.validated_epochs = min(progress.validated_epochs, runner.epoch)
        progress.save(runner.work_dir)

    def _find_best(self, runner: Runner) -> None:
        """Look for the best and the last checkpoint in the own folder; without its file, a score does not count."""
        hub = runner.message_hub
        for key in [key for key in hub.runtime_info if key.startswith('best_ckpt')]:
            score, path = key.replace('best_ckpt', 'best_score'), self._own(hub.get_info(key))
            if path is not None:
                hub.update_info(key, path)
                continue
            print_log(f'The best checkpoint so far, {hub.pop_info(key)} with {hub.pop_info(score)}, is not in '
                      f'{self.out_dir}; the best is looked for from here on.', logger='current')
        self._best = {key: hub.get_info(f'best_ckpt{key and "_"}{key}', None) for key in self._best}
        # A better score of a validation that is done now goes into it.
        self.last_ckpt = self._own(hub.get_info('last_ckpt', None))

    def _own(self, path: Optional[str]) -> Optional[str]:
        """The file of that name in the run's own folder, ``None`` if there is none."""
        path = path and osp.join(self.out_dir, osp.basename(path))
        found = [path if path and self.file_backend.exists(path) else None]
        broadcast_object_list(found)
        return found[0]

    def _validation_was_lost(self, runner: Runner) -> bool:
        """Whether the validation is missing that follows the checkpoint from which the run goes on."""
        loop = runner.train_loop
        if runner.val_loop is None:
            return False
        loop._decide_current_val_interval()
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        if by_epoch and loop.iter != loop.epoch * len(loop.dataloader):
            return False  # inside an epoch
        done, end = (loop.epoch, loop.max_epochs) if by_epoch else (loop.iter, loop.max_iters)
        is_due = done >= loop.val_begin and (done % loop.val_interval == 0 or done == end)
        # Schedules that follow the metrics are saved as they were before.
        follows = any(getattr(schedule, 'need_val_args', False) for schedule in _schedules(runner))
        lost = [follows or Progress.of(runner.work_dir).validated_steps < runner.iter]
        broadcast_object_list(lost)
        return is_due and lost[0]

    @property
    def _best(self) -> Dict[str, Optional[str]]:
        """Paths of the best checkpoints by metric; of a single metric, under ``''``."""
        if self.save_best is None:
            return {}
        return {'': self.best_ckpt_path} if len(self.key_indicators) == 1 else dict(self.best_ckpt_path_dict)

    @_best.setter
    def _best(self, paths: Dict[str, Optional[str]]) -> None:
        if '' in paths:
            self.best_ckpt_path = paths['']
        elif paths:
            self.best_ckpt_path_dict = dict(paths)

    def _save_best_checkpoint(self, runner: Runner, metrics: Dict[str, float]) -> None:
        collect_state(runner.optim_wrapper)
        before = self._best
        self._best = dict.fromkeys(before)  # which mmengine would remove first
        super()._save_best_checkpoint(runner, metrics)
        after = self._best
        self._best = {key: after[key] or before[key] for key in before}
        self._remove([before[key] for key in before if after[key] and before[key] not in (None, after[key])])

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """As mmengine's, in another order."""
        collect_state(runner.optim_wrapper)
        outdated: List[int] = []
        if self.max_keep_ckpts > 0 and step not in list(self.keep_ckpt_ids)[-1:]:
            kept = [*self.keep_ckpt_ids, step]
            kept, outdated = kept[-self.max_keep_ckpts:], kept[:-self.max_keep_ckpts]
            self.keep_ckpt_ids = deque(kept, self.max_keep_ckpts)
            # The outdated ones too: if the run is killed before they are removed, the resumed one does it.
            runner.message_hub.update_info('keep_ckpt_ids', [*outdated, *kept])
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir, name, self.file_client_args, save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler, meta=meta, by_epoch=self.by_epoch,
            backend_args=self.backend_args, **self.args)
        if is_main_process():
            write_atomically(osp.join(runner.work_dir, RECORD), lambda file: file.write(self.last_ckpt.encode()))
            progress = Progress.of(runner.work_dir)
            if name in progress.others:
                progress.others.remove(name)
                progress.save(runner.work_dir)
        self._remove([self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old)) for old in outdated])

    def _remove(self, paths: List[str]) -> None:
        for path in paths if is_main_process() else []:
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
            elif self.file_backend.isdir(path):  # of sharded checkpoints
                self.file_backend.rmtree(path)


def _schedules(runner: Runner) -> list:
    schedules = runner.param_schedulers or []
    return [one for many in schedules.values() for one in many] if isinstance(schedules, dict) else list(schedules)
