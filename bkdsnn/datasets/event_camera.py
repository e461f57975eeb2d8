"""A simulated event camera, and images that move in front of it."""
from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np

# Small on disk and between processes.
DTYPE = np.dtype([('x', np.int16), ('y', np.int16), ('t', np.int64), ('p', np.int8)])
LOWEST_THRESHOLD = 0.01
# A level counts as reached this part of a threshold early, and a time stamp so many microseconds: rounding neither
# loses a crossing at the end of a segment nor puts it into the microsecond before.
LEVEL_TOLERANCE, TIME_TOLERANCE = 1e-9, 1e-6
# Corners of the path of the camera, in amplitudes (x, y): the three saccades of N-MNIST (Orchard et al. 2015, Frontiers
# in Neuroscience 9:437), which move the picture down, up, and back along the base of a triangle.
CORNERS = ((0.0, 0.0), (0.5, 1.0), (1.0, 0.0), (0.0, 0.0))


@dataclass(frozen=True)
class EventCamera:
    """A sensor whose pixels report changes of log intensity (Lichtsteiner et al. 2008, IEEE JSSC 43:566).

    Each pixel compares the log intensity with a reference. Where it has risen by its ON threshold it sends an event of
    polarity 1, where it has fallen by its OFF threshold one of polarity 0; it then rests for the refractory period and
    takes the level at its end as the new reference. Between two samples the log intensity is taken to be linear, so
    time stamps are interpolated (Rebecq et al. 2018, ESIM).

    The defaults of threshold and mismatch are those of v2e (Hu et al. 2021, arXiv 2006.07722), which also draws the
    background events at random.

    Args:
        width: Of the sensor in pixels.
        height: Of the sensor in pixels.
        threshold: Change of natural log intensity that makes an event, on average over the pixels.
        threshold_mismatch: Standard deviation of the thresholds over the pixels, drawn once for the sensor, for ON and
            OFF separately; none gets below 0.01.
        refractory_period: Microseconds for which a pixel rests after an event; 500 is v2e's default too.
        noise_rate: Background events per pixel and second, at random times and of random polarity. They leave the
            references alone. 1 is a choice of ours, between a clean and a noisy camera.
        seed: Of the mismatch.

    Raises:
        ValueError: If an argument is out of range.
    """

    width: int
    height: int
    threshold: float = 0.2
    threshold_mismatch: float = 0.03
    refractory_period: float = 500.0
    noise_rate: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (('width', 1), ('height', 1), ('threshold', LOWEST_THRESHOLD), ('threshold_mismatch', 0),
                          ('refractory_period', 0), ('noise_rate', 0)):
            value = getattr(self, name)
            if not low <= value < np.inf or name in ('width', 'height') and value != int(value):
                kind = 'whole' if name in ('width', 'height') else 'finite'
                raise ValueError(f'EventCamera: {name}={value} must be a {kind} number, at least {low}.')

    @property
    def sensor_size(self) -> Tuple[int, int, int]:
        """Width, height and number of polarities."""
        return self.width, self.height, 2

    def thresholds(self) -> np.ndarray:
        """The OFF and the ON threshold of each pixel, (2, H, W)."""
        draw = np.random.default_rng(self.seed).standard_normal((2, self.height, self.width))
        return np.maximum(self.threshold + self.threshold_mismatch * draw, LOWEST_THRESHOLD)

    def record(self, log_intensity: np.ndarray, times: np.ndarray,
               rngs: Sequence[np.random.Generator]) -> List[np.ndarray]:
        """What the camera sends for N scenes.

        Args:
            log_intensity: (S, N, H, W), natural logarithm at S points of time.
            times: (S,), microseconds, increasing.
            rngs: N generators, for the background events of each scene.

        Returns:
            N structured arrays with the fields ``x``, ``y``, ``t`` (whole microseconds, rounded down) and ``p``, sorted
            by time.

        Raises:
            ValueError: If shapes do not fit, times do not increase, or a value is not finite.
        """
        samples, scenes, height, width = log_intensity.shape
        if (height, width) != (self.height, self.width) or len(times) != samples or len(rngs) != scenes:
            raise ValueError(f'EventCamera: log_intensity {log_intensity.shape}, {len(times)} times and {len(rngs)} '
                             f'generators do not fit a sensor of {self.width}x{self.height} pixels.')
        if not np.isfinite(log_intensity).all():
            raise ValueError('EventCamera: log_intensity has values that are not finite. Where it is dark, a scene '
                             'needs a little light.')
        if samples < 2 or not (np.diff(times) > 0).all():
            raise ValueError(f'EventCamera: times must increase and be at least two, not {times}.')
        off, on = (np.tile(threshold.ravel(), scenes) for threshold in self.thresholds())
        pixel, t, p = crossings(log_intensity.reshape(samples, -1), np.asarray(times, float), on, off,
                                self.refractory_period)
        scene, pixel = np.divmod(pixel, height * width)
        order = np.argsort(scene, kind='stable')
        parts = np.split(order, np.searchsorted(scene[order], np.arange(1, scenes)))
        recordings = []
        for part, rng in zip(parts, rngs):
            noise = self._noise(times, rng)
            events = np.zeros(len(part) + len(noise[0]), DTYPE)
            all_pixels = np.concatenate([pixel[part], noise[0]])
            events['y'], events['x'] = np.divmod(all_pixels, width)
            events['t'] = np.floor(np.concatenate([t[part], noise[1]]) + TIME_TOLERANCE)
            events['p'] = np.concatenate([p[part], noise[2]])
            recordings.append(events[np.argsort(events['t'], kind='stable')])
        return recordings

    def _noise(self, times: np.ndarray, rng: np.random.Generator) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pixels, times and polarities of the background events."""
        pixels, duration = self.width * self.height, times[-1] - times[0]
        number = rng.poisson(self.noise_rate * pixels * duration * 1e-6)
        return (rng.integers(0, pixels, number), rng.uniform(times[0], times[-1], number), rng.integers(0, 2, number))


def crossings(signal: np.ndarray, times: np.ndarray, on: np.ndarray, off: np.ndarray,
              refractory_period: float) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where signals that are linear between their samples cross the thresholds of their pixels.

    Args:
        signal: (S, K) for K pixels.
        times: (S,), increasing.
        on: (K,), rise over the reference that makes an event of polarity 1.
        off: (K,), fall that makes one of polarity 0.
        refractory_period: For how long a pixel rests after an event.

    Returns:
        Pixel, time and polarity of each event, (N,) each, in no particular order.
    """
    reference = signal[0].astype(float)
    release = np.full(len(reference), -np.inf)  # when a pixel that rests stops resting
    found = []
    for t0, t1, before, after in zip(times, times[1:], signal, signal[1:]):
        slope = (after - before) / (t1 - t0)
        released = np.flatnonzero((release > t0) & (release <= t1))
        reference[released] = before[released] + slope[released] * (release[released] - t0)
        threshold = np.where(slope > 0, on, off)
        # Only those that get far enough by the end of the segment; it is monotonic, so the crossing lies within.
        far = np.abs(after - reference) >= threshold * (1 - LEVEL_TOLERANCE)
        rising = after > reference
        pixel = np.flatnonzero(far & (rising == (slope > 0)) & (release <= t1) & (slope != 0))
        while len(pixel):
            up, start = slope[pixel] > 0, np.maximum(release[pixel], t0)
            level = reference[pixel] + np.where(up, threshold[pixel], -threshold[pixel])
            t = np.clip(t0 + (level - before[pixel]) / slope[pixel], start, t1)
            found.append((pixel, t, up))
            release[pixel] = t + refractory_period
            # The crossed level itself where there is no rest, so that no rounding adds up.
            reference[pixel] = (level if refractory_period == 0 else
                                before[pixel] + slope[pixel] * (release[pixel] - t0))
            again = release[pixel] <= t1
            pixel = pixel[again]
            pixel = pixel[np.abs(after[pixel] - reference[pixel]) >= threshold[pixel] * (1 - LEVEL_TOLERANCE)]
    if not found:
        return np.zeros(0, int), np.zeros(0), np.zeros(0, bool)
    return tuple(map(np.concatenate, zip(*found)))


def saccades(images: np.ndarray, sensor_size: Sequence[int], zoom: int = 2, amplitude: float = 4.0,
             duration: int = 100_000, interval: int = 4_000, darkest: float = 0.25) -> Tuple[np.ndarray, np.ndarray]:
    """Pictures that move along a triangle in front of a sensor, as those of N-MNIST do.

    Args:
        images: (N, h, w), brightness from 0 to 1. Around a picture it is as dark as its darkest possible pixel.
        sensor_size: Width and height of the sensor (further numbers are ignored).
        zoom: How many pixels of the sensor a pixel of the picture fills, in each direction.
        amplitude: Length of the triangle's sides in pixels of the sensor, see :data:`CORNERS`.
        duration: Of each of the three saccades in microseconds.
        interval: Between two samples in microseconds.
        darkest: Intensity of brightness 0, where brightness 1 has 1. The contrast of real scenes is finite.

    Returns:
        Log intensity (S, N, H, W) and the times (S,) of the samples in microseconds.

    Raises:
        ValueError: If the moving picture does not fit the sensor, or an argument is out of range.
    """
    width, height = sensor_size[:2]
    scenes, rows, columns = images.shape
    if not isinstance(zoom, int) or zoom < 1 or not amplitude >= 0:
        raise ValueError(f'saccades: zoom={zoom} must be a whole number, at least 1, and amplitude={amplitude} at '
                         'least 0.')
    if columns * zoom + amplitude > width or rows * zoom + amplitude > height:
        raise ValueError(f'saccades: pictures of {columns}x{rows} pixels, {zoom} times as large and moved by '
                         f'{amplitude} pixels, do not fit a sensor of {width}x{height}.')
    if not 0 < darkest < 1 or interval <= 0 or duration % interval:
        raise ValueError(f'saccades: darkest={darkest} must lie between 0 and 1, and interval={interval} must divide '
                         f'duration={duration}.')
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(f'saccades: brightness lies between {images.min()} and {images.max()}, but must be from 0 to '
                         '1; divide 8-bit images by 255.')
    pictures = np.repeat(np.repeat(images, zoom, -2), zoom, -1)
    # One pixel more at the upper left, for the interpolation.
    canvas = np.zeros((scenes, height + 1, width + 1))
    top, left = ((size - extent - int(np.ceil(amplitude))) // 2 + 1
                 for size, extent in ((height, rows * zoom), (width, columns * zoom)))
    canvas[:, top:top + rows * zoom, left:left + columns * zoom] = pictures
    times = np.arange(0, 3 * duration + 1, interval)
    x, y = (np.interp(times, np.arange(4) * duration, [corner[axis] * amplitude for corner in CORNERS])
            for axis in (0, 1))
    signal = np.empty((len(times), scenes, height, width), np.float32)
    for sample, dx, dy in zip(signal, x, y):
        moved = _shift(_shift(canvas, dy, 1), dx, 2)
        np.log(darkest + (1 - darkest) * moved[:, 1:, 1:], out=sample, casting='same_kind')
    return signal, times


def _shift(canvas: np.ndarray, distance: float, axis: int) -> np.ndarray:
    """Move towards higher indices along an axis, with linear interpolation; what leaves is zero already."""
    whole, part = int(distance), distance - int(distance)
    near = np.roll(canvas, whole, axis)
    return near if part == 0 else (1 - part) * near + part * np.roll(near, 1, axis)


def record_saccades(images: np.ndarray, camera: EventCamera, rngs: Sequence[np.random.Generator],
                    **motion) -> List[np.ndarray]:
    """The events of pictures that move in front of a camera.

    Args:
        images: (N, h, w), brightness from 0 to 1.
        camera: Records them.
        rngs: N generators, so that a recording does not depend on which others are made with it.
        **motion: As :func:`saccades`.

    Returns:
        N structured arrays, see :meth:`EventCamera.record`.
    """
    recordings = []
    for start in range(0, len(images), 64):  # of all at once, the samples would take gigabytes
        signal, times = saccades(images[start:start + 64], camera.sensor_size, **motion)
        recordings += camera.record(signal, times, rngs[start:start + 64])
    return recordings
