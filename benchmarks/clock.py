"""Training seconds until a fit reaches each PSNR, evaluations excluded; and the square images to fit.

With one thread and no GPU, seconds are those of the processor, which other programs on a shared machine hardly change;
else those of the clock on the wall, the GPU's work included.
"""

import time

import skimage.data
import torch
from fastai.callback.core import Callback, CancelFitException

from siren_fastai.images import load_image, resize_image
from siren_fastai.quality import psnr

LEVELS = (30.0, 35.0, 40.0)


def timed_by() -> str:
    """What `now` counts: "processor" or "wall clock"."""
    return "processor" if torch.get_num_threads() == 1 and not torch.cuda.is_available() else "wall clock"


def now() -> float:
    """Seconds, of which differences count; waits for the GPU."""
    if timed_by() == "processor":
        return time.process_time()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class Clock(Callback):
    """Measure training seconds and PSNR at each evaluation; stop at the highest of `LEVELS`, or after `cap` seconds.

    predict: returns the image (h, w, c) so far. every_s: training seconds between evaluations; 0 is once per epoch.
    `reached` maps a level -> (seconds, steps) of the first evaluation at or above it. `capped` says whether the cap
    ended the fit.
    """

    def __init__(self, target, predict, cap=float("inf"), every_s=0.0):
        self.target, self.predict, self.cap, self.every_s = target, predict, cap, every_s
        self.spent, self.steps, self.evaluated_at, self.reached, self.best = 0.0, 0, 0.0, {}, 0.0

    def step_done(self, seconds: float) -> bool:
        """Count a step, evaluate if it is time, and return whether to stop."""
        self.spent, self.steps = self.spent + seconds, self.steps + 1
        if self.spent - self.evaluated_at < self.every_s and self.spent < self.cap:
            return False
        return self.evaluate()

    def evaluate(self) -> bool:
        self.evaluated_at, quality = self.spent, psnr(self.predict(), self.target)
        self.best = max(self.best, quality)
        for level in LEVELS:
            if quality >= level:
                self.reached.setdefault(level, (self.spent, self.steps))
        return LEVELS[-1] in self.reached or self.capped

    @property
    def capped(self) -> bool:
        return self.spent >= self.cap

    def before_train(self):
        self.started = now()

    def after_batch(self):
        if self.training and self.every_s:
            stop = self.step_done(now() - self.started)
            self.started = now()
            if stop:
                raise CancelFitException
        elif self.training:
            self.steps += 1

    def after_train(self):
        self.spent += now() - self.started

    def after_epoch(self):
        if not self.every_s and self.evaluate() and self.capped:
            raise CancelFitException


def square_picture(name: str, size: int):
    """The central square of one of scikit-image's images, or of a file, at size x size."""
    image = load_image(getattr(skimage.data, name)() if hasattr(skimage.data, name) else name, mode="rgb")
    side = min(image.shape[:2])
    top, left = (n - side for n in image.shape[:2])
    return resize_image(image[top // 2 : top // 2 + side, left // 2 : left // 2 + side], (size, size))
