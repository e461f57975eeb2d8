"""mmpretrain's machinery around a spiking network."""
import pytest
import torch
from mmpretrain.structures import DataSample

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
