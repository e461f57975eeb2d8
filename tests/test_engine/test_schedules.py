"""Learning rates and decay of the recipes, against the authors' schedulers and closed forms."""
import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from timm.scheduler import CosineLRScheduler

from bkdsnn.engine.schedules import warmup_cosine
from bkdsnn.registry import MODELS, PARAM_SCHEDULERS
from helpers import LIF, REPOSITORY, demo_config, tiny_student

SCHEDULES = REPOSITORY / 'configs' / '_base_' / 'schedules'
# Peak, epochs of the cosine, epochs of warm-up, first rate, last rate, epochs in all; of the authors' files, timm's
# `lr`, `epochs`, `warmup_epochs`, `warmup_lr`, `min_lr`, and `epochs` + `cooldown_epochs`.
WITH_TIMM = dict(
    imagenet_transformer_310e=(5e-4, 300, 20, 1e-6, 1e-5, 310),
    cifar_transformer_310e=(5e-4, 300, 20, 1e-5, 1e-5, 310),
    cifar_transformer_410e=(5e-4, 400, 20, 1e-5, 1e-5, 410),
    dvs_transformer_106e=(1e-3, 96, 10, 1e-5, 1e-5, 106),
    vit_finetune_50e=(5e-4, 50, 5, 1e-5, 1e-5, 50))
WITH_TORCH = dict(imagenet_sew_320e=(0.1, 320), dvs_sew_64e=(0.01, 64))
PLIF = dict(LIF, type='ParametricLIFNode')


def load(name):
    return Config.fromfile(SCHEDULES / f'{name}.py')


def rates(cfg, steps=3):
    """Learning rate of each step (epochs, steps) as mmengine's runner and hook have it."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=cfg.optim_wrapper.optimizer.lr)
    configs = cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]
    schedulers = [PARAM_SCHEDULERS.build(dict(config, end=cfg.train_cfg.max_epochs), default_args=dict(
        optimizer=optimizer, epoch_length=steps)) for config in configs]
    found = []
    for _ in range(cfg.train_cfg.max_epochs):
        found.append([])
        for _ in range(steps):
            found[-1].append(optimizer.param_groups[0]['lr'])
            optimizer.step()
            for scheduler in schedulers:
                if not scheduler.by_epoch:
                    scheduler.step()
        for scheduler in schedulers:
            if scheduler.by_epoch:
                scheduler.step()
    return found


def timm_scheduler(peak, epochs, warmup, first, last):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    return CosineLRScheduler(optimizer, t_initial=epochs, lr_min=last, warmup_t=warmup, warmup_lr_init=first)


@pytest.mark.parametrize('name', WITH_TIMM)
def test_rates_are_those_of_timm_in_every_epoch(name):
    peak, epochs, warmup, first, last, total = WITH_TIMM[name]
    found = rates(load(name))
    assert len(found) == total and all(min(steps) == max(steps) for steps in found)
    scheduler = timm_scheduler(peak, epochs, warmup, first, last)
    for epoch, (rate, *_) in enumerate(found):
        if epoch < warmup:
            want = first + (peak - first) * epoch / warmup
        elif epoch < epochs:
            want = last + (peak - last) * (1 + math.cos(math.pi * epoch / epochs)) / 2
        else:
            want = last
        assert rate == pytest.approx(want, rel=1e-12)
        assert rate == pytest.approx(scheduler.optimizer.param_groups[0]['lr'], rel=1e-12)
        scheduler.step(epoch + 1)


@pytest.mark.parametrize('name', WITH_TORCH)
def test_rates_of_sew_networks_are_those_of_pytorchs_cosine(name):
    peak, epochs = WITH_TORCH[name]
    found = rates(load(name))
    assert len(found) == epochs
    for epoch, steps in enumerate(found):
        assert steps == pytest.approx(3 * [peak * (1 + math.cos(math.pi * epoch / epochs)) / 2], rel=1e-9)


def test_every_schedule_is_pinned_here():
    others = {'digits_80e', 'fashion_6e', 'imagenet_integer_200e'}  # nobody's, and one by steps
    paper = {path.stem for path in SCHEDULES.glob('*.py')} - others
    assert paper == {*WITH_TIMM, *WITH_TORCH}


@given(st.integers(1, 50), st.data())
def test_any_warm_up_and_cosine_is_timms(epochs, data):
    warmup = data.draw(st.integers(0, epochs - 1))
    peak, first, last = (data.draw(st.floats(0, 1)) for _ in range(3))
    scheduler = timm_scheduler(peak, epochs, warmup, first, last)
    t = data.draw(st.integers(0, 60))
    assert warmup_cosine(t, peak, epochs, warmup, first, last) == pytest.approx(scheduler._get_lr(t)[0], abs=1e-12)


def test_converted_to_steps_it_is_the_same_curve_in_between():
    scheduler = dict(type='WarmupCosineLR', T_max=8, warmup=2, warmup_lr=0.1, eta_min=0.2, convert_to_iter_based=True)
    cfg = Config(dict(optim_wrapper=dict(optimizer=dict(lr=1.0)), param_scheduler=scheduler,
                      train_cfg=dict(max_epochs=10)))
    by_step = [rate for steps in rates(cfg, steps=4) for rate in steps]
    assert by_step == pytest.approx([warmup_cosine(step / 4, 1.0, 8, 2, 0.1, 0.2) for step in range(40)])


def test_warm_up_that_does_not_fit_is_refused():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match='warmup=8 must be at least 0 and below T_max=8'):
        PARAM_SCHEDULERS.build(dict(type='WarmupCosineLR', optimizer=optimizer, T_max=8, warmup=8))


def test_a_resumed_run_goes_on_with_the_curve(tmp_path):
    def run(folder, **options):
        cfg = demo_config('plain', tmp_path / folder, epochs=5, **options)
        cfg.param_scheduler = dict(type='WarmupCosineLR', T_max=4, warmup=2, warmup_lr=0.01, eta_min=0.02)
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        # Runs of one name that start in the same second would share their log.
        cfg.experiment_name = f'{tmp_path.name}_{folder}'
        Runner.from_cfg(cfg).train()
        (log, ) = (tmp_path / folder).glob('*/vis_data/scalars.json')
        return [line['lr'] for line in map(json.loads, log.read_text().splitlines())]

    want = [warmup_cosine(epoch, 1.0, 4, 2, 0.01, 0.02) for epoch in range(5)]
    keep = {'default_hooks.checkpoint.max_keep_ckpts': -1}
    assert run('whole', **keep) == pytest.approx([rate for rate in want for _ in range(2)])
    resumed = run('resumed', resume=True, load_from=str(tmp_path / 'whole' / 'epoch_3.pth'))
    assert resumed == pytest.approx([rate for rate in want[3:] for _ in range(2)])


@pytest.mark.parametrize('name', [*WITH_TIMM, *WITH_TORCH])
def test_time_constants_norms_and_biases_do_not_decay(name):
    """Whatever the recipe's own neuron, PLIF may take its place; a decayed ``w`` would draw tau to 2."""
    model = MODELS.build(tiny_student(neuron=PLIF))
    wrapper = build_optim_wrapper(model, load(name).optim_wrapper)
    decays = {id(p): group['weight_decay'] for group in wrapper.optimizer.param_groups for p in group['params']}
    free = {name for name, parameter in model.named_parameters() if not decays[id(parameter)]}
    assert any(name.endswith('neuron.w') for name, _ in model.named_parameters())
    for key, parameter in model.named_parameters():
        assert (key in free) == (parameter.dim() == 1 or name in WITH_TORCH), key


@pytest.mark.parametrize('name', [*WITH_TIMM, *WITH_TORCH])
def test_recipes_train_in_mixed_precision_where_the_authors_do(name):
    want = None if name == 'dvs_sew_64e' else 'AmpOptimWrapper'
    assert load(name).optim_wrapper.get('type') == want
