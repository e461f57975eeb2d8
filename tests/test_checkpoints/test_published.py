"""Weights by name: hashes in file names, downloads that are kept, and what get_model does with them."""
import shutil
from pathlib import Path

import pytest
import torch

import bkdsnn
from bkdsnn.apis.model import published_weights
from bkdsnn.checkpoints.files import load_file
from bkdsnn.checkpoints.published import download, hash_in, sha256


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """PyTorch's hub folder, empty."""
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
    return tmp_path / 'hub' / 'checkpoints'


def kept_in(hub):
    return [path for path in hub.rglob('*') if path.is_file()]


@pytest.fixture
def published(tmp_path):
    """A file of weights that is named after its hash."""
    torch.save(bkdsnn.get_model('demo/mixed').state_dict(), tmp_path / 'net.pth')
    folder = tmp_path / 'server'
    folder.mkdir()
    return shutil.copy(tmp_path / 'net.pth', folder / f'net-{sha256(tmp_path / "net.pth")[:8]}.pth')


@pytest.mark.parametrize('name, expected', [
    ('sew-t4_cifar-0a1b2c3d.pth', '0a1b2c3d'), ('/some-deadbeef.pth/net-01234567.safetensors', '01234567'),
    ('resnet18_20210831-fbbb1da6.pth', 'fbbb1da6'), ('net-20240131.pth', None), ('net-0a1b2c3d.npy', None),
    ('epoch_10.pth', None), ('net-0A1B2C3D.pth', None), ('net-0a1b2c3d4.pth', None)])
def test_hash_is_found_in_names_that_end_in_one(name, expected):
    assert hash_in(name) == expected


def test_file_that_is_not_what_its_name_says_is_an_error(published):
    load_file(str(published))
    with open(published, 'ab') as file:
        file.write(b'0')
    with pytest.raises(ValueError, match=r'net-[0-9a-f]{8}\.pth is not the file that was published.*its name says'):
        bkdsnn.get_model('demo/mixed', pretrained=published)


def test_url_is_downloaded_once_and_then_needs_no_server(published, hub):
    url = published.as_uri()
    first = bkdsnn.get_model('demo/mixed', pretrained=url)
    published.unlink()
    second = bkdsnn.get_model('demo/mixed', pretrained=url)
    assert [path.name for path in kept_in(hub)] == [published.name]
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values()))


def test_download_with_another_hash_is_an_error_and_is_not_kept(published, hub):
    wrong = published.rename(published.with_name('net-00000000.pth'))
    with pytest.raises(ValueError, match='not the file that was published'):
        download(wrong.as_uri())
    assert not kept_in(hub)


@pytest.mark.parametrize('place', ['{server}/{name}/net.pth', '{server}/{name}/net-{hash}.pth',
                                   '{server}/net.pth?{name}'])
def test_urls_with_one_last_part_are_different_files(tmp_path, hub, place, monkeypatch):
    """Also where the first one was put there to be taken for the second."""
    monkeypatch.setattr(torch.hub, 'download_url_to_file', lambda url, path, _: Path(path).write_text(url))
    urls = [place.format(server='https://example.org', name=name, hash='0a1b2c3d') for name in ('a', 'b')]
    paths = [download(url) for url in urls]
    assert [Path(path).read_text() for path in paths] == urls and len({Path(path).name for path in paths}) == 1
    monkeypatch.setattr(torch.hub, 'download_url_to_file', None)
    assert [download(url) for url in urls] == paths  # no network is needed again


def test_url_does_not_replace_what_pytorch_keeps(hub, published):
    """torchvision and others read files of their names in its folder, without care."""
    download(published.as_uri())
    assert not [path for path in hub.iterdir() if path.is_file()]


@pytest.mark.parametrize('url', ['https://example.org', 'https://example.org/', 'https://example.org/a%2f..'])
def test_url_without_a_file_is_an_error(url, hub):
    with pytest.raises(ValueError, match=f'{url} names no file'):
        download(url)
    assert not hub.exists()


def test_error_without_network_names_the_url_and_where_to_put_the_file(published, hub):
    url = 'http://127.0.0.1:9/net-0a1b2c3d.pth'
    with pytest.raises(OSError) as error:
        bkdsnn.get_model('demo/mixed', pretrained=url)
    assert url in str(error.value)
    (folder, ) = hub.iterdir()
    assert f'put it at {folder / "net-0a1b2c3d.pth"}.' in str(error.value)
    torch.save(bkdsnn.get_model('demo/mixed').state_dict(), folder / 'net-0a1b2c3d.pth')
    with pytest.raises(ValueError, match='net-0a1b2c3d.pth is not the file that was published'):
        bkdsnn.get_model('demo/mixed', pretrained=url)


def test_pretrained_model_without_published_weights_says_how_to_get_some():
    name = 'bkd/sew-resnet18-t4_resnet18_2xb128-320e_in1k'
    assert name not in published_weights()
    with pytest.raises(ValueError, match=f'tools/train.py configs/{name}.py'):
        bkdsnn.get_model(name, pretrained=True)


def test_weights_of_another_model_are_an_error(published):
    with pytest.raises(ValueError, match='missing keys'):
        bkdsnn.get_model('demo/teacher', pretrained=published)


def test_names_are_listed_by_pattern():
    names = bkdsnn.list_models('*former*')
    assert len(names) > 50 and all('former' in name for name in names) and names == sorted(names)
    assert set(bkdsnn.list_models(pretrained=True)) == set(published_weights())
