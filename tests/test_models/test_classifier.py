"""mmpretrain's machinery around a spiking network."""
import pytest
import torch
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


@pytest.mark.parametrize('shape', [(3, 2, 16, 16), (3, 4, 2, 16, 16)], ids=['images', 'events'])
@pytest.mark.parametrize('backend', ['eager', 'compile'])
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
