"""The page to play with: gradio's components, the server, and the command that starts both."""
import base64
import io
import re
import runpy
import socket
import sys
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from helpers import REPOSITORY, small_playground, stroke

APP = REPOSITORY / 'demo' / 'app.py'


def run_app(monkeypatch, *arguments):
    """The command in this process; returns the message that it exits with."""
    monkeypatch.setattr(sys, 'argv', [str(APP), *arguments])
    monkeypatch.setenv('GRADIO_ANALYTICS_ENABLED', 'False')
    with pytest.raises(SystemExit) as error:
        runpy.run_path(str(APP), run_name='__main__')
    return str(error.value)


def test_without_gradio_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    assert "pip install 'gradio>=6'" in run_app(monkeypatch)


def free_port():
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


def test_a_taken_port_is_named_before_anything_is_loaded(monkeypatch):
    pytest.importorskip('gradio')
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        port = listener.getsockname()[1]
        message = run_app(monkeypatch, '--port', str(port))
    assert f'127.0.0.1:{port}' in message and '--port' in message


def test_a_port_that_does_not_exist_is_refused(monkeypatch):
    pytest.importorskip('gradio')
    assert 'port 70000 does not exist' in run_app(monkeypatch, '--port', '70000')


@pytest.fixture(scope='module')
def page():
    pytest.importorskip('gradio')
    from bkdsnn.play.playground import DigitPlayground, EventPlayground
    from bkdsnn.play.server import build_page
    return build_page(small_playground(DigitPlayground), small_playground(EventPlayground))


def data_url(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, 'png')
    return 'data:image/png;base64,' + base64.b64encode(buffer.getvalue()).decode()


def test_damage_of_any_kind_is_no_picture():
    pytest.importorskip('gradio')
    from bkdsnn.play.tabs import decode
    whole = base64.b64decode(data_url(np.eye(9, dtype=np.uint8) * 255).partition(',')[2])
    assert decode('data:,' + base64.b64encode(whole).decode()).shape == (9, 9, 3)
    for at in range(8, len(whole)):  # lengths of chunks, their names, check sums, the pixels
        damaged = whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1:]
        with suppress(ValueError):
            decode('data:,' + base64.b64encode(damaged).decode())


def test_nothing_is_fetched_from_elsewhere(page):
    from bkdsnn.play.server import theme
    assert theme()._stylesheets == [] and page.analytics_enabled is False
    texts = [str(block.get_config()) for block in page.blocks.values()]
    assert not [url for text in texts for url in re.findall(r'https?://[^\s\'"]+', text)]


def test_the_server_answers_drawings_and_recordings(page, tmp_path):
    client = pytest.importorskip('gradio_client')
    from bkdsnn.play.server import serve
    port = free_port()
    serve(page, '127.0.0.1', port, wait=False)
    try:
        visitor = client.Client(f'http://127.0.0.1:{port}', verbose=False)
        caption, result = visitor.predict(data_url(stroke([(60, 50), (220, 50), (120, 240)])), 3, api_name='/draw')
        assert 'Your digit' in caption and 'Step 3 of 3' in result and 'Energy of this prediction' in result
        assert 'Draw a digit' in visitor.predict('', 3, api_name='/draw')[1]
        assert 'cannot be read as a picture' in visitor.predict('data:image/png;base64,AAAA', 3, api_name='/draw')[1]
        (tmp_path / 'bad.npy').write_bytes(b'nonsense')
        caption, result = visitor.predict(client.handle_file(str(tmp_path / 'bad.npy')), 4, api_name='/recording')
        assert not caption and 'bad.npy cannot be read' in result and 'class="notice"' in result
        with pytest.raises(Exception, match='16'):
            visitor.predict(data_url(stroke([(60, 50), (220, 50)])), 99, api_name='/draw')
    finally:
        page.close()


def test_buttons_show_test_samples(page):
    by_name = {}
    for fn in page.fns.values():
        by_name.setdefault(fn.fn.__name__, []).append(fn.fn)
    for take in by_name['take_any'] + by_name['take_disputed']:
        sample, caption, result = take(2)
        assert sample.label is not None and f'a {sample.label}' in caption and 'Step 2 of 2' in result
    for again in by_name['result_of']:
        assert 'class="notice"' in again(None, 2)
