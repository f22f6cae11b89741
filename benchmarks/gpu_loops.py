"""What a training step costs on a GPU: through the Learner, and by bare loops that are compiled or replayed."""

import statistics

import torch
from fastai.learner import AvgSmoothLoss
from fastai.torch_core import set_seed
from loop import LR, bare_loop, learner_loop, plain
from torch import nn

from siren_fastai.data import PixelDataLoaders
from siren_fastai.default_model import fast_model
from siren_fastai.learner import siren_learner

ROUNDS, STEPS = 5, 128  # of an epoch, at least


class LossOnDevice(AvgSmoothLoss):
    """fastai's smoothed loss, which is not fetched from the GPU after each step."""

    def accumulate(self, learn):
        self.count += 1
        self.val = torch.lerp(learn.loss.detach().mean(), self.val.to(learn.loss), self.beta)


def loops(cases) -> None:
    """Time epochs of each loop in turn, an evaluation of the image included; the median of several rounds, per step."""
    size, width, batches = (16, 8, (64,)) if cases.quick else (512, 256, (1024, 16384))
    for bs in batches:
        set_seed(0, reproducible=True)
        image = torch.rand(size, size, 3)
        repeat = max(1, STEPS * bs // size**2)
        dls = PixelDataLoaders.from_array(image, bs=bs, repeat=repeat, value_range=(0, 1), valid_bs=size * size)
        for name, make in LOOPS.items():
            if name in NEED_CUDA and not cases.on_gpu:
                continue
            epoch = make(fast_model(dls, [width] * 3).to(dls.device), dls)
            for _ in range(2):
                epoch()  # kernels are loaded and graphs recorded
            cases.forget()
            times = [timed(cases, epoch) for _ in range(ROUNDS)]
            ms = 1000 * statistics.median(times) / len(dls.train)
            cases.add(f"{name}, bs {bs}, epochs of {len(dls.train)} steps", per_step=(ms, "ms"))


def timed(cases, epoch) -> float:
    start = cases.now()
    epoch()
    return cases.now() - start


def learner(model, dls, metrics=None, smooth=None):
    """Epochs of a Learner as users have it, or with its shown loss read by `smooth`."""
    learn = siren_learner(dls, model, metrics=metrics)
    if smooth is not None:
        learn.recorder.smooth_loss = smooth()
    return learner_loop(learn)


def compiled(model, dls):
    return bare_loop(torch.compile(plain(model), mode="reduce-overhead"), dls)


def replayed(model, dls):
    """A step recorded once as a CUDA graph: forward, backward and Adam in one launch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True, capturable=True)
    x, y = (part.clone() for part in dls.train.one_batch())

    def step():
        optimizer.zero_grad(set_to_none=True)
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # as PyTorch asks for before a recording
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def epoch():
        for coords, values in dls.train:
            x.copy_(coords)
            y.copy_(values)
            graph.replay()
        with torch.no_grad():
            return sum(nn.functional.mse_loss(model(coords), values).item() for coords, values in dls.valid)

    return epoch


LOOPS = {
    "PixelLearner": learner,
    "PixelLearner without a metric": lambda model, dls: learner(model, dls, []),
    "PixelLearner, loss left on the GPU": lambda model, dls: learner(model, dls, None, LossOnDevice),
    "bare loop, fused layer": bare_loop,
    "bare loop, plain operators": lambda model, dls: bare_loop(plain(model), dls),
    "CUDA graph, fused layer": replayed,
    "torch.compile, reduce-overhead": compiled,
}
NEED_CUDA = ("CUDA graph, fused layer", "torch.compile, reduce-overhead")
