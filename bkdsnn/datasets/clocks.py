"""Clocks of event cameras: they count microseconds with 31 or 32 bits, and begin anew after 36 or 72 minutes."""
from typing import Optional, Sequence

import numpy as np

# Those of AEDAT 2 and 3, and of whole 32-bit numbers, with a sign or without.
PERIODS = (2**31, 2**32)
# A clock that begins anew steps back by nearly its period; the rest is a pause between two events.
LONGEST_PAUSE = 1 / 8


class Clock:
    """Turns the times of a camera into times that go on where its clock begins anew.

    Chunks of one stream may be given one after another. Steps back that are no such turn are left for sorting.

    Args:
        periods: Microseconds after which the clock may begin anew.
    """

    def __init__(self, periods: Sequence[int] = PERIODS) -> None:
        self.periods = periods
        self._last: Optional[int] = None
        self._period: Optional[int] = None
        self._turns = 0

    def __call__(self, t: np.ndarray) -> np.ndarray:
        """Times in the order in which events came in, (N,) of any integers.

        Returns:
            int64 (N,), as they are where the clock has not turned.
        """
        t = t.astype(np.int64)
        if not len(t):
            return t
        steps = np.diff(t, prepend=t[:1] if self._last is None else self._last)
        self._period = self._period or self._find_period(steps, t)
        self._last = int(t[-1])
        if self._period is None:
            return t
        half = self._period // 2
        # Events may have changed places around a turn, which then looks as if it were taken back.
        turns = self._turns + np.cumsum((steps < -half).astype(np.int64) - (steps > half))
        self._turns = int(turns[-1])
        return t + turns * self._period

    def _find_period(self, steps: np.ndarray, t: np.ndarray) -> Optional[int]:
        """That of a clock whose times make these steps; ``None`` where it does not turn."""
        back, times = -int(steps.min()), [int(t.min()), int(t.max()), *([] if self._last is None else [self._last])]
        for period in self.periods:
            fits = any(low <= min(times) and max(times) < low + period for low in (0, -period // 2))
            if fits and period * (1 - LONGEST_PAUSE) < back <= period:
                return period
        return None
