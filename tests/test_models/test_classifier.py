"""mmpretrain's machinery around a spiking network."""
import pytest
import torch
import torch.utils.checkpoint
from mmpretrain.structures import DataSample

import golden
from bkdsnn.models.distillers import FeatureRecorder
from bkdsnn.registry import MODELS
from helpers import tiny_student


def samples(count):
    return [DataSample().set_gt_label(i % 10) for i in range(count)]


@pytest.mark.parametrize('augment', ['Mixup', 'CutMix'])
@pytest.mark.parametrize('loss', [dict(type='mmpretrain.CrossEntropyLoss', use_soft=True),
                                  dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, num_classes=10)])
def test_batch_augmentations_and_soft_losses_of_mmpretrain(augment, loss):
    cfg = tiny_student()
    cfg['head']['loss'] = loss
    model = MODELS.build(dict(cfg, train_cfg=dict(augments=dict(type=f'mmpretrain.{augment}', alpha=1.0)),
                              data_preprocessor=dict(num_classes=10, mean=[127.5], std=[127.5])))
    raw = dict(inputs=torch.randint(0, 256, (8, 1, 8, 8)).float(), data_samples=samples(8))
    data = model.data_preprocessor(raw, training=True)
    losses = model(**data, mode='loss')
    assert set(losses) == {'loss_cls'} and torch.isfinite(losses['loss_cls'])
    score = data['data_samples'][0].gt_score
    assert score.sum() == pytest.approx(1)
    losses['loss_cls'].backward()


def test_prediction_is_the_mean_over_time():
    model = MODELS.build(tiny_student(T=4)).eval()
    x = torch.randn(3, 1, 8, 8)
    logits = model(x)
    assert logits.shape == (4, 3, 10)
    predictions = model(x, samples(3), mode='predict')
    want = logits.mean(0).softmax(-1)
    for prediction, score in zip(predictions, want):
        torch.testing.assert_close(prediction.pred_score, score)
    torch.testing.assert_close(torch.stack([p.step_logits for p in predictions], 1), logits)


def test_event_frames_enter_batch_first():
    model = MODELS.build(tiny_student()).eval()
    frames = torch.randn(3, 5, 1, 8, 8)
    logits = model(frames)
    assert logits.shape == (5, 3, 10)
    torch.testing.assert_close(logits[:, :1], model(frames[:1]))


def test_loss_of_the_head_is_that_of_the_mean_logits():
    model = MODELS.build(tiny_student())
    x = torch.randn(6, 1, 8, 8)
    model.eval()
    want = torch.nn.functional.cross_entropy(model(x).mean(0), torch.arange(6))
    torch.testing.assert_close(model(x, samples(6), mode='loss')['loss_cls'], want)


@pytest.mark.parametrize('backend, shape', [
    ('eager', (3, 2, 16, 16)), ('eager', (3, 4, 2, 16, 16)), ('compile', (3, 2, 16, 16))],
    ids=['eager-images', 'eager-events', 'compile-images'])
def test_channels_last_changes_nothing_but_the_order_in_memory(backend, shape):
    def run(channels_last):
        torch.manual_seed(0)
        cfg = tiny_student(in_channels=2, neuron=dict(golden.IF, backend=backend, v_threshold=0.3))
        model = MODELS.build(dict(cfg, channels_last=channels_last))
        model.init_weights()  # a seed gives the same weights
        model.double()
        with FeatureRecorder(model, ['backbone.layer1']) as recorder:
            logits = model(torch.randn(shape, dtype=torch.double))
        (logits * torch.arange(10)).sum().backward()
        return logits, recorder.features['backbone.layer1'], [p.grad for p in model.parameters()]

    (logits, maps, grads), (want, want_maps, want_grads) = run(True), run(False)
    assert maps.flatten(0, 1).is_contiguous(memory_format=torch.channels_last) or backend == 'eager'
    assert torch.equal(maps, want_maps) and 0 < maps.mean() < 2
    torch.testing.assert_close(logits, want)
    for grad, want_grad in zip(grads, want_grads):
        torch.testing.assert_close(grad, want_grad, rtol=1e-9, atol=1e-11)


def any_T(lowest, highest, **backbone):
    return MODELS.build(dict(tiny_student(**{'T': 4, **backbone}), random_T=(lowest, highest)))


SHAPES = pytest.mark.parametrize('shape', [(2, 1, 8, 8), (2, 4, 1, 8, 8)], ids=['images', 'events'])


@SHAPES
def test_time_steps_are_drawn_for_each_batch_in_training_alone(shape):
    model, x = any_T(2, 4), torch.randn(shape)
    assert {len(model(x)) for _ in range(40)} == {2, 3, 4}
    model.eval()
    assert model.backbone.T == 4 and {len(model(x)) for _ in range(10)} == {4}


def test_draws_depend_on_the_seed_and_not_on_the_batch():
    """So that all processes agree, and a resumed run with one that was not interrupted."""
    model, seen = any_T(1, 4), []
    for x in (torch.randn(2, 1, 8, 8), torch.randn(5, 4, 1, 8, 8)):
        torch.manual_seed(5)
        seen.append([len(model(x)) for _ in range(20)])
    assert seen[0] == seen[1] and set(seen[0]) == {1, 2, 3, 4}


@SHAPES
@pytest.mark.parametrize('T', [1, 3, 4])
def test_drawn_steps_are_those_of_a_network_with_so_many(T, shape):
    model, fixed = any_T(T, T), MODELS.build(tiny_student(T=T))
    fixed.load_state_dict(model.state_dict())
    x = torch.randn(shape)
    torch.testing.assert_close(model(x), fixed(x[:, :T] if x.dim() == 5 else x), rtol=0, atol=0)
    for name, value in model.state_dict().items():
        assert torch.equal(value, fixed.state_dict()[name])


def test_backward_of_a_checkpointed_backbone_takes_the_steps_that_were_drawn():
    model = any_T(1, 4)
    forward = model.backbone.forward
    model.backbone.forward = lambda x: torch.utils.checkpoint.checkpoint(forward, x, use_reentrant=False)
    for _ in range(8):
        model(torch.randn(2, 1, 8, 8), samples(2), mode='loss')['loss_cls'].backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize('random_T', [(0, 2), (3, 2), (1, 2.0), (1, 2, 3), 4])
def test_random_steps_that_are_no_range_are_an_error(random_T):
    with pytest.raises(ValueError, match='must be the lowest and the highest number of time steps'):
        MODELS.build(dict(tiny_student(), random_T=random_T))


def test_random_steps_that_the_network_or_the_data_cannot_have_are_an_error():
    psn = dict(type='PSNNode', T=4, surrogate=dict(type='ATan', alpha=2.0))
    with pytest.raises(ValueError, match='PSNNode has weights for T=4 time steps alone'):
        any_T(1, 4, neuron=psn)
    with pytest.raises(ValueError, match='the samples have 4 frames'):
        any_T(5, 6)(torch.randn(2, 4, 1, 8, 8))
