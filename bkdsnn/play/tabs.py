"""The tabs of the page, one for each kind of data: a sample is chosen on the left, the result is beside it."""
import base64
import io
import random
from pathlib import Path
from typing import Callable, Optional, Tuple

import gradio as gr
import numpy as np
from PIL import Image, ImageOps

from ..datasets.event_files import EXTENSIONS
from ..datasets.transforms import events_to_frames
from ..visualization.browse import event_image
from . import panels, plots
from .drawing import scan_of
from .playground import MAX_STEPS, Playground, Sample

ASSETS = Path(__file__).parent / 'assets'
# What a function on the page returns: the sample, what is said of it, and the result.
Shown = Tuple[Optional[Sample], str, str]
QUIET = dict(show_progress='hidden', api_visibility='private')


def html(value: str, style: str, script: Optional[str] = None, template: Optional[str] = None) -> gr.HTML:
    """HTML that looks as ``style`` says; ``script`` runs once, ``template`` stands in place of the value."""
    def read(name: str) -> str:
        return (ASSETS / name).read_text(encoding='utf-8')

    return gr.HTML(value, css_template=read(style), js_on_load=script and read(script), apply_default_css=False,
                   **(dict(html_template=read(template)) if template else {}))


class Tab:
    """What the tabs share: the sample in question, the number of time steps, and the result.

    Args:
        playground: Networks and test samples.
    """

    hint = ''

    def __init__(self, playground: Playground) -> None:
        self.playground = playground
        self.classes = playground.dataset.metainfo['classes']
        self.random = random.Random()
        self.sample = gr.State(None)
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                self.build_inputs()
                with gr.Row():
                    self.any = gr.Button('Test sample', size='md', min_width=80)
                    self.disputed = gr.Button('Disputed one', size='md', min_width=80)
                self.steps = gr.Slider(1, MAX_STEPS, playground.trained_steps, step=1, label='Time steps T',
                                       info=f'The students were trained with {playground.trained_steps}.')
                self.caption = html('', 'style.css')
                html(panels.record(playground), 'style.css')
            with gr.Column(scale=3, min_width=320):
                self.result = html(panels.notice(self.hint), 'style.css', 'player.js')
        self.shown = [self.sample, self.caption, self.result]
        self.connect()

    def build_inputs(self) -> None:
        """Components that choose a sample."""
        raise NotImplementedError

    def connect(self) -> None:
        """What happens on events."""
        self.any.click(self.take_any, self.steps, self.shown, **QUIET)
        self.disputed.click(self.take_disputed, self.steps, self.shown, **QUIET)
        self.steps.change(self.result_of, [self.sample, self.steps], self.result, trigger_mode='always_last', **QUIET)

    def words_about(self, sample: Sample) -> str:
        """What is said of a sample, as HTML."""
        raise NotImplementedError

    def frames_of(self, sample: Sample, steps: int) -> str:
        """What the students see over time, as HTML; nothing where it does not change."""
        return ''

    def result_of(self, sample: Optional[Sample], steps: int) -> str:
        """What the networks do with a sample, as HTML."""
        if sample is None:
            return panels.notice(self.hint)
        return panels.result(self.playground.play(sample, steps), self.classes, sample.label,
                             self.frames_of(sample, steps))

    def show(self, sample: Sample, steps: int) -> Shown:
        """A sample and its result."""
        return sample, self.words_about(sample), self.result_of(sample, steps)

    def attempt(self, make: Callable[[], Sample], steps: int) -> Shown:
        """A sample of the user's own, or what is wrong with it in place of the result."""
        try:
            return self.show(make(), steps)
        except (ValueError, OSError) as error:
            return None, '', panels.notice(str(error))

    def take_any(self, steps: int) -> Shown:
        """A test sample by chance."""
        return self.show(self.playground.pick(self.random), steps)

    def take_disputed(self, steps: int) -> Shown:
        """A test sample by chance of those on which the students disagree."""
        return self.show(self.playground.pick(self.random, disputed=True), steps)


class DigitTab(Tab):
    """Draws, uploads or picks a digit."""

    hint = 'Draw a digit, or take a test sample.'

    def build_inputs(self) -> None:
        self.canvas = html('', 'canvas.css', 'canvas.js', 'canvas.html')

    def connect(self) -> None:
        super().connect()
        self.canvas.input(self.draw, [self.canvas, self.steps], self.shown, show_progress='hidden',
                          trigger_mode='always_last', api_name='draw')
        gr.on([self.any.click, self.disputed.click], lambda: '', None, self.canvas, **QUIET)

    def draw(self, picture: Optional[str], steps: int) -> Shown:
        """The result for a picture, as a data URL; for an empty one, what to do."""
        if not picture:
            return None, '', panels.notice(self.hint)
        return self.attempt(lambda: Sample(scan_of(decode(picture)), 'Your digit'), steps)

    def words_about(self, sample: Sample) -> str:
        return panels.caption(f'{named(sample, self.classes)}, as the networks see it: 8x8 pixels',
                              plots.scan_picture(sample.data))


class EventTab(Tab):
    """Picks or uploads a recording."""

    hint = 'Pick a recording, or upload one of your own.'

    def build_inputs(self) -> None:
        self.indices = self.playground.shelf()
        names = [self.classes[self.playground.labels[index]] for index in self.indices]
        thumbnails = [thumbnail(self.playground.sample(index)) for index in self.indices]
        self.shelf = html(plots.shelf(thumbnails, names), 'shelf.css', 'shelf.js')
        self.upload = gr.UploadButton(f'Upload {", ".join(EXTENSIONS)}', size='md', file_types=list(EXTENSIONS))

    def connect(self) -> None:
        super().connect()
        self.shelf.select(self.choose, self.steps, self.shown, **QUIET)
        self.upload.upload(self.read, [self.upload, self.steps], self.shown, show_progress='hidden',
                           api_name='recording')

    def choose(self, steps: int, event: gr.EventData) -> Shown:
        """The result for a recording of the shelf."""
        return self.show(self.playground.sample(self.indices[event.index]), steps)

    def read(self, path: str, steps: int) -> Shown:
        """The result for a file."""
        return self.attempt(lambda: self.playground.read(path), steps)

    def words_about(self, sample: Sample) -> str:
        width, height, _ = sample.sensor_size
        return panels.caption(f'{named(sample, self.classes)}: {len(sample.data):,} events, {width}x{height} pixels')

    def frames_of(self, sample: Sample, steps: int) -> str:
        return plots.film(events_to_frames(sample.data, sample.sensor_size, steps))


def named(sample: Sample, classes: list) -> str:
    """Name of a sample and, where it is known, its class."""
    return sample.name if sample.label is None else f'{sample.name}, a {classes[sample.label]}'


def decode(url: str) -> np.ndarray:
    """A picture (H, W, 3) or (H, W, 4) of uint8 from a data URL, made smaller where it is large.

    Raises:
        ValueError: If it is none.
    """
    try:
        picture = Image.open(io.BytesIO(base64.b64decode(url.partition(',')[2], validate=True)))
        picture.thumbnail((1024, 1024))
        picture = ImageOps.exif_transpose(picture)
        return np.asarray(picture.convert('RGBA' if picture.has_transparency_data else 'RGB'))
    except Exception as error:  # Pillow's readers raise what they like
        raise ValueError('this cannot be read as a picture; give a PNG or JPEG file.') from error


def thumbnail(sample: Sample) -> np.ndarray:
    """The first third of a recording; over all of it, what brightens and what darkens would mix."""
    return event_image(events_to_frames(sample.data, sample.sensor_size, 3)[0]).repeat(6, 0).repeat(6, 1)
