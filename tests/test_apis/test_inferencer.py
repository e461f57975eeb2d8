"""Images in, predictions out: those of testing, whatever form the image has, and a reason where there is none."""
import copy
import io
import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from PIL import Image

import bkdsnn
from bkdsnn import SpikingInferencer, inference_model
from bkdsnn.apis.model import published_weights
from bkdsnn.datasets import Digits
from bkdsnn.evaluation import exit_steps, running_scores
from bkdsnn.models.layers import SpikeConv2d
from bkdsnn.visualization import predictions
from helpers import DEMO, tiny_student


@pytest.fixture(scope='module')
def student():
    return SpikingInferencer('demo/mixed')


@pytest.fixture(scope='module')
def digits():
    """Thirty test images (8, 8) and their labels."""
    dataset = Digits('test', labels_per_class=3)
    found = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [sample['img'][..., 0] for sample in found], [sample['gt_label'] for sample in found]


@pytest.fixture
def said(monkeypatch):
    """Lines that the inferencer and the readers log."""
    lines = []
    for module in ('inferencer', 'readers'):
        monkeypatch.setattr(f'bkdsnn.apis.{module}.print_log', lambda line, **kwargs: lines.append(line))
    return lines


def save(folder, images):
    """PNG files ``00.png``, ..."""
    folder.mkdir(exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f'{i:02d}.png')
    return folder


def assert_same(results, others):
    """Equal scores; batches of other sizes may round otherwise."""
    assert len(results) == len(others)
    for a, b in zip(results, others):
        np.testing.assert_allclose(a['pred_scores'], b['pred_scores'], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('name', ['demo/mixed', 'demo/teacher'])
def test_scores_are_those_of_testing(name, digits):
    inferencer = SpikingInferencer(name, device='cpu')
    dataset = Digits('test', labels_per_class=3, pipeline=[dict(type='mmpretrain.PackInputs')])
    with torch.no_grad():
        tested = inferencer.model.test_step(default_collate([dataset[i] for i in range(30)]))
    results = inferencer(digits[0], batch_size=7)
    for result, sample in zip(results, tested):
        np.testing.assert_allclose(result['pred_scores'], sample.pred_score.numpy(), rtol=1e-4, atol=1e-6)
        assert result['pred_label'] == int(sample.pred_label) and result['pred_class'] == str(int(sample.pred_label))
        assert result['pred_score'] == pytest.approx(float(result['pred_scores'].max()))
    assert np.mean([r['pred_label'] == label for r, label in zip(results, digits[1])]) > 0.8
    assert ('steps' in results[0]) == ('spikes' in results[0]) == (name == 'demo/mixed')


def test_spiking_result_tells_scores_after_each_step_and_spikes(student, digits):
    result = student(digits[0][0])[0]
    assert result['steps'] == 2 and result['step_scores'].shape == (2, 10) and result['spikes'] > 0
    sample = default_collate([dict(inputs=torch.from_numpy(digits[0][0])[None])])
    logits = student.model(student.model.data_preprocessor(sample)['inputs'])
    np.testing.assert_allclose(result['step_scores'], running_scores(logits)[:, 0].detach(), rtol=1e-5)
    np.testing.assert_array_equal(result['step_scores'][-1], result['pred_scores'])


def test_an_image_may_be_a_file_an_array_or_a_picture(student, digits, tmp_path):
    image = digits[0][3]
    path = save(tmp_path / 'one', [image]) / '00.png'
    forms = [image, image[..., None], image[..., None].repeat(3, -1), Image.fromarray(image),
             Image.fromarray(image).convert('RGBA'), path, str(path)]
    assert_same(student(forms), [student(image)[0]] * len(forms))
    assert [result['name'] for result in student(forms)][-2:] == [str(path)] * 2


def test_folder_is_read_in_the_order_of_names_and_other_files_are_counted(student, digits, tmp_path, said):
    folder = save(tmp_path / 'images', digits[0][:6])
    (folder / 'sub').mkdir()
    (folder / '03.png').rename(folder / 'sub' / 'a.PNG')
    for name in ('notes.txt', 'labels.csv', '.hidden.png'):
        (folder / name).write_text('no image')
    results = student(folder, batch_size=4)
    assert [r['name'] for r in results] == [str(folder / n) for n in ('00.png', '01.png', '02.png', '04.png', '05.png',
                                                                      'sub/a.PNG')]
    assert_same(results, student([digits[0][i] for i in (0, 1, 2, 4, 5, 3)]))
    assert len(said) == 1 and '3 of 9 entries are skipped' in said[0]
    assert '1 hidden: .hidden.png' in said[0] and '2 of other kinds: labels.csv, notes.txt' in said[0]


def test_folder_without_images_and_empty_list_are_errors(student, tmp_path):
    (tmp_path / 'notes.txt').write_text('')
    with pytest.raises(ValueError, match=r'holds nothing to read \(\.jpg.*1 of other kinds: notes.txt'):
        student(tmp_path)
    with pytest.raises(ValueError, match='list of inputs is empty'):
        student([])
    with pytest.raises(TypeError, match='stream'):
        student(iter([]))


def test_what_cannot_be_read_is_reported_and_the_rest_is_done(student, digits, tmp_path):
    folder = save(tmp_path / 'images', digits[0][:6])
    (folder / '01.png').write_bytes(b'this is text')
    (folder / '02.png').write_bytes((folder / '02.png').read_bytes()[:-20])
    photo = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(photo, 'JPEG')
    (folder / '03.jpg').write_bytes(photo.getvalue()[:-400])  # OpenCV reads it, and makes up the rest
    (folder / '04.png').write_bytes(b'')
    results = student([folder, tmp_path / 'nowhere.png'], batch_size=4)
    failed = {r['name']: r['error'] for r in results if 'error' in r}
    assert sorted(failed) == [str(folder / n) for n in ('01.png', '02.png', '03.jpg', '04.png')] + [
        str(tmp_path / 'nowhere.png')]
    assert all(name in error for name, error in failed.items())
    assert 'no known format' in failed[str(folder / '01.png')] and 'truncated' in failed[str(folder / '03.jpg')]
    assert 'does not exist' in failed[str(tmp_path / 'nowhere.png')]
    assert_same([r for r in results if 'error' not in r], student([digits[0][i] for i in (0, 3, 5)]))


@pytest.mark.parametrize('wrong, words', [
    (np.zeros((8, 8, 2), np.uint8), r'\(8, 8, 2\) has 2 channels .* takes 1'),
    (np.zeros((8, 8, 4), np.uint8), '4 channels'), (np.zeros((1, 8, 8), np.uint8), '8 channels'),
    (np.zeros((8, 8)), 'float64 is no image'), (np.zeros((2, 8, 8, 1), np.uint8), 'is no image'),
    (np.zeros((0, 8), np.uint8), 'is no image'), (Image.new('I;16', (8, 8)), 'more than 8 bits'),
    (7, 'int is neither a path'), (None, 'NoneType')])
def test_wrong_input_is_named_by_its_place(student, digits, wrong, words):
    good, bad = student([digits[0][0], wrong], batch_size=2)
    assert good['pred_class'] and bad['name'] == 'input 1' and set(bad) == {'name', 'error'}
    assert bad['error'].startswith('input 1: ')
    with pytest.raises(ValueError, match=words):
        inference_model(student.model, wrong)


def test_image_of_another_size_is_resized_and_that_is_said_once(student, digits, said):
    large = [image.repeat(2, 0).repeat(2, 1) for image in digits[0][:4]]
    assert_same(student(large), student(digits[0][:4]))  # the mean of an area of equal pixels
    student(digits[0][0].repeat(3, 0))
    assert len(said) == 1 and '16x16, are resized to 8x8' in said[0]


def test_colour_model_reads_gray_images_and_gets_bgr(digits):
    """Weights that look at blue alone tell the order of the channels."""
    cfg = Config(dict(model=tiny_student(in_channels=3), image_shape=(3, 8, 8), test_dataloader=dict(dataset=dict(
        pipeline=[dict(type='mmpretrain.LoadImageFromFile'), dict(type='mmpretrain.PackInputs')]))))
    inferencer = SpikingInferencer(bkdsnn.init_model(cfg))
    rgb = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)
    for source, want in ((Image.fromarray(rgb), rgb[..., ::-1]), (rgb, rgb),
                         (digits[0][0], digits[0][0][..., None].repeat(3, -1))):
        np.testing.assert_array_equal(inferencer.reader.read(source)['img'], want)
    assert 'pred_class' not in inferencer(rgb)[0]


def test_sizes_of_a_network_for_any_size_make_batches_of_their_own(digits):
    cfg = Config.fromfile(DEMO / 'plain.py')
    cfg.image_shape = None
    inferencer = SpikingInferencer(cfg, published_weights()['demo/plain'])
    images = [*digits[0][:3], np.pad(digits[0][3], 2), digits[0][4]]
    results = inferencer(images, batch_size=4)
    assert_same(results, [inferencer(image)[0] for image in images])
    assert len({result['pred_score'] for result in results}) == 5


def test_other_time_steps_are_allowed_and_said_once(student, digits, said):
    results = student(digits[0][:5], T=6, batch_size=2)
    student(digits[0][:5], T=6)
    student(digits[0][:5], T=2)
    assert {r['step_scores'].shape for r in results} == {(6, 10)}
    assert_same([dict(pred_scores=r['step_scores'][1]) for r in results], student(digits[0][:5]))
    assert len(said) == 1 and '6 time steps' in said[0] and 'trained with 2' in said[0]


def test_threshold_lets_samples_stop_early(student, digits):
    whole = student(digits[0], T=4, batch_size=30)
    scores = torch.from_numpy(np.stack([r['step_scores'] for r in whole], 1))
    threshold = float(scores[0].amax(-1).median()) + 1e-4  # of none exactly
    early = student(digits[0], T=4, threshold=threshold, batch_size=30)
    assert [r['steps'] for r in early] == exit_steps(scores, threshold).tolist()
    assert len({r['steps'] for r in early}) > 1
    for a, b in zip(early, whole):
        np.testing.assert_allclose(a['pred_scores'], b['step_scores'][a['steps'] - 1], rtol=1e-4, atol=1e-6)
        assert (a['spikes'] < b['spikes']) == (a['steps'] < 4)


@pytest.mark.parametrize('call', [dict(T=0), dict(T=2.0), dict(threshold=0), dict(threshold=-1.0), dict(batch_size=0),
                                  dict(T=True)])
def test_arguments_out_of_range_are_errors(student, digits, call):
    with pytest.raises(ValueError, match=next(iter(call))):
        student(digits[0][0], **call)


@pytest.mark.parametrize('call', [dict(T=2), dict(threshold=0.9)])
def test_ann_has_no_time_steps(digits, call):
    with pytest.raises(ValueError, match='ImageClassifier is an ANN'):
        SpikingInferencer('demo/teacher')(digits[0][0], **call)


def test_pictures_are_saved_under_names_of_their_own(student, digits, tmp_path):
    for name in ('a', 'b'):
        save(tmp_path / name, digits[0][:2])
    (tmp_path / 'b' / '01.png').write_bytes(b'')
    student([tmp_path / 'a', tmp_path / 'b', digits[0][2]], show_dir=tmp_path / 'deep' / 'pictures')
    pictures = sorted((tmp_path / 'deep' / 'pictures').iterdir())
    assert [path.name for path in pictures] == ['00.png', '00_2.png', '01.png', 'input_2.png']
    drawn = np.asarray(Image.open(pictures[0]).convert('L'))
    assert min(drawn.shape) >= 224
    # Below the text it is the enlarged digit.
    want = digits[0][0].repeat(28, 0).repeat(28, 1)
    assert np.abs(drawn[140:].astype(int) - want[140:]).mean() < 10


def test_without_a_display_the_error_names_show_dir(student, digits, monkeypatch):
    assert not predictions.has_display()  # tests run with matplotlib's Agg
    with pytest.raises(ValueError, match="show_dir='pictures'"):
        student(digits[0][0], show=True)


def test_each_prediction_is_shown_where_there_is_a_display(student, digits, monkeypatch):
    shown = []
    monkeypatch.setattr(predictions, 'has_display', lambda: True)
    monkeypatch.setattr(predictions.UniversalVisualizer, 'show',
                        lambda self, image, win_name, wait_time: shown.append((win_name, image.shape, wait_time)))
    student(digits[0][:2], show=True, wait_time=0.5)
    assert shown == [('input 0', (224, 224, 3), 0.5), ('input 1', (224, 224, 3), 0.5)]


def test_datasamples_carry_the_same(student, digits):
    good, bad = student([digits[0][0], 'nowhere.png'], return_datasamples=True)
    result = student(digits[0][0])[0]
    assert int(good.pred_label) == result['pred_label'] and good.spikes == result['spikes']
    np.testing.assert_array_equal(good.step_scores.numpy(), result['step_scores'])
    assert bad.error == 'nowhere.png does not exist.'


@pytest.mark.parametrize('as_sample', [False, True])
def test_one_input_that_cannot_be_predicted_is_an_error(as_sample):
    with pytest.raises(ValueError, match='nowhere.png does not exist'):
        inference_model('demo/mixed', 'nowhere.png', return_datasamples=as_sample)


def test_model_may_be_a_name_a_config_a_file_or_a_network(student, digits):
    weights = published_weights()['demo/mixed']
    config = Config.fromfile(DEMO / 'mixed.py')
    for model, pretrained in (('demo/mixed', weights), (str(DEMO / 'mixed.py'), weights), (config, weights),
                              (weights, True), (bkdsnn.get_model('demo/mixed'), weights), (student.model, True)):
        assert_same(SpikingInferencer(model, pretrained)(digits[0][:2]), student(digits[0][:2]))
    result = inference_model('demo/mixed', digits[0][0], pretrained=weights, device='cpu', T=3)
    assert result['steps'] == 3 and json.dumps(result['pred_class'])


def test_wrong_model_weights_and_device_are_errors():
    weights = published_weights()['demo/mixed']
    with pytest.raises(ValueError, match='brings its weights, so pretrained='):
        SpikingInferencer(weights, weights)
    with pytest.raises(ValueError, match='demo/mixed'):
        SpikingInferencer('demo/mixd')
    with pytest.raises(ValueError, match='missing keys'):
        SpikingInferencer('demo/teacher', published_weights()['demo/mixed'])
    with pytest.raises(ValueError, match='no published weights'):
        SpikingInferencer(str(DEMO / 'mixed.py'))
    with pytest.raises(ValueError, match='has no cfg'):
        SpikingInferencer(torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match='no test_dataloader'):
        SpikingInferencer(bkdsnn.init_model(Config(dict(model=tiny_student()))))
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no GPU; take device='cpu'"):
            SpikingInferencer('demo/mixed', device='cuda:0')


def test_classes_may_be_named_anew(digits):
    names = [f'digit {i}' for i in range(10)]
    result = SpikingInferencer('demo/teacher', classes=names)(digits[0][0])[0]
    assert result['pred_class'] == names[result['pred_label']]
    with pytest.raises(ValueError, match='classes has 2 names, but the network has 10 classes'):
        SpikingInferencer('demo/teacher', classes=names[:2])


@pytest.mark.parametrize('source', ['name', 'network', 'config'])
def test_zeros_are_skipped_in_a_copy_where_that_is_asked(source, digits, student):
    model = dict(name='demo/mixed', network=student.model, config=str(DEMO / 'mixed.py'))[source]
    weights = published_weights()['demo/mixed'] if source == 'config' else True
    fast = SpikingInferencer(model, weights, sparse_convs=True, fuse_conv_bn=True)
    convs = [module for module in fast.model.modules() if isinstance(module, SpikeConv2d)]
    assert convs and all(conv.skips_zeros and conv.keeps_order for conv in convs)
    assert not any(module.skips_zeros for module in student.model.modules() if isinstance(module, SpikeConv2d))
    assert all('error' not in result for result in fast(digits[0], batch_size=30, threshold=0.9))
    # In fp64 no membrane is so near its threshold that the order of a sum decides.
    images = torch.rand(4, 1, 8, 8, dtype=torch.double)
    with torch.no_grad():
        torch.testing.assert_close(fast.model.double()(images), copy.deepcopy(student.model).double()(images))


def test_an_ann_has_no_zeros_to_skip():
    with pytest.raises(ValueError, match='sparse_convs: ImageClassifier has no SpikeConv2d'):
        SpikingInferencer('demo/teacher', sparse_convs=True)
