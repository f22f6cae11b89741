"""What a learned start is worth: python benchmarks/starts.py [--families faces tiles kali]

For each family of images a start is learned from some, and others, of no common source, are fitted from it and from the
schemes "siren" and "fast". A step is one gradient of the whole image. Every way of fitting has the best constant rate
for each number of steps, chosen by the mean PSNR of other images of the family, also for Adam from the learned weights;
the learned rates are used as they are. The question: has the learned start after at most three steps the PSNR that a
scheme has after 30?
"""

import argparse
from collections.abc import Callable
from statistics import mean, median

import skimage.data
import torch
from clock import now
from report import report
from torch import Tensor, nn
from torch.optim import SGD, Adam

from siren_fastai.coords import grid_coords
from siren_fastai.datasets.split import split_groups
from siren_fastai.init import init_for_signal_
from siren_fastai.models.siren import siren_model
from siren_fastai.models.stack import stack_models
from siren_fastai.starts.learning import learn_start
from siren_fastai.starts.start import Start
from siren_fastai.starts.steps import as_values, errors, take_steps

STEPS = (0, 1, 2, 3, 10, 30, 300)
SCHEMES = ("siren", "fast")
ADAM = (5e-4, 1e-3, 2e-3, 5e-3, 1e-2)  # rates that are tried, up to 30 steps
ADAM_LONG = (5e-4, 1e-3, 2e-3)  # for 300
SGD_RATES = (1e-2, 3e-2, 1e-1)
HIDDEN = (64, 64, 64)


def faces(n: int, n_test: int) -> tuple[Tensor, Tensor]:
    """Faces (n, 1, 25, 25), also mirrored and moved by a pixel, and other faces. A person may be in both."""
    images = torch.from_numpy(skimage.data.lfw_subset()[:100, None]).float()
    images = images[torch.randperm(100, generator=torch.Generator().manual_seed(0))]
    rest, (height, width) = images[n_test:], images.shape[2:]
    rest = torch.cat([rest, rest.flip(-1)])
    wide = nn.functional.pad(rest, (1, 1, 1, 1), mode="replicate")
    moves = [(y, x) for y in range(3) for x in range(3) if (y, x) != (1, 1)]
    return torch.cat([rest, *(wide[..., y : y + height, x : x + width] for y, x in moves)]), images[:n_test]


def tiles(n: int, n_test: int) -> tuple[Tensor, Tensor]:
    from siren_fastai.datasets.tiles import tile_images

    return split(*tile_images(n + 4 * n_test), n_test)


def kali(n: int, n_test: int) -> tuple[Tensor, Tensor]:
    from siren_fastai.datasets.kali_images import kali_images

    return split(*kali_images(n + n_test, size=32), n_test)


FAMILIES: dict[str, Callable] = {"faces": faces, "tiles": tiles, "kali": kali}


def split(images: Tensor, groups: Tensor, n_test: int) -> tuple[Tensor, Tensor]:
    """Images to learn from, and one of each group that is held out."""
    train, test = split_groups(groups, n_test / len(groups.unique()))
    return images[train], images[test][:: len(test) // n_test][:n_test]


class Task:
    """A family's images and the shape of the network that fits them."""

    def __init__(self, name: str, options):
        self.name = name
        self.train, self.test = FAMILIES[name](options.images, options.test)
        self.size = tuple(self.train.shape[2:])
        self.dims = [2, *options.hidden, self.train.shape[1]]
        self.coords = grid_coords(self.size)

    def model(self, scheme: str, values: Tensor, seed: int) -> nn.Module:
        """A network drawn by a scheme for one signal, or for the mean of several."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return init_for_signal_(siren_model(self.dims), scheme, values.reshape(-1, values.shape[-1]), self.size)

    def drawn(self, scheme: str, images: Tensor, seed: int) -> list[nn.Module]:
        """For each image its own network: "fast" starts at an image's mean colour."""
        return [self.model(scheme, value, 1000 * seed + i) for i, value in enumerate(as_values(images))]


def quality(each: Tensor) -> float:
    """Mean PSNR of the images with these errors."""
    return float((-10 * each.clamp(min=1e-12).log10()).mean())


def fit(task: Task, models: list[nn.Module], images: Tensor, lr: float, marks, optimiser=Adam) -> dict:
    """Mean PSNR after each number of steps in `marks`, at one constant rate; nan once it diverged."""
    stack, values = stack_models(models), as_values(images)
    optimizer, target, found = optimiser(stack.parameters(), lr), values.transpose(0, 1), {}
    for step in range(max(marks) + 1):
        output = stack(task.coords)
        if step in marks:
            found[step] = quality((output.detach().clamp(0, 1) - target).square().mean((0, 2)))
        optimizer.zero_grad()
        (output - target).square().mean((0, 2)).sum().backward()
        optimizer.step()
    return found


def tuned(task: Task, models: list[nn.Module], images: Tensor) -> dict[int, tuple]:
    """For each number of steps the optimiser and rate of the highest mean PSNR."""
    runs, short = {}, STEPS[:-1]
    for optimiser, rates, marks in ((Adam, ADAM, short), (SGD, SGD_RATES, short), (Adam, ADAM_LONG, STEPS[-1:])):
        for lr in rates:
            runs |= {(mark, optimiser, lr): v for mark, v in fit(task, models, images, lr, marks, optimiser).items()}
    runs = {key: value if value == value else 0.0 for key, value in runs.items()}  # nan where it diverged
    return {mark: max((key for key in runs if key[0] == mark), key=runs.get)[1:] for mark in STEPS}


def curve(task: Task, models: list[nn.Module], chosen: dict) -> dict[int, float]:
    """Mean PSNR of the test images after each number of steps, each with the optimiser and rate chosen for it."""
    found = {}
    for optimiser, lr in set(chosen.values()):
        marks = [mark for mark, choice in chosen.items() if choice == (optimiser, lr)]
        found |= fit(task, models, task.test, lr, marks, optimiser)
    return found


def by_learned_rates(start: Start, task: Task) -> dict[int, float]:
    """Mean PSNR of the test images after steps at the learned rates; nan once they diverged."""
    values, found = as_values(task.test), {}
    for mark in STEPS:
        with torch.no_grad():
            weights = take_steps(start.network(), start.weights, start.rates, task.coords, values, mark)
            found[mark] = quality(errors(start.network(), weights, task.coords, values, (0, 1)))
    return found


def learned(task: Task, seed: int, options) -> tuple[Start, float]:
    """A start of the family and the seconds that it took to learn."""
    began = now()
    model = task.model("fast", as_values(task.train), seed)
    start = learn_start(task.train, model, 3, options.meta_steps, seed=seed, family=task.name)
    return start, now() - began


def compare(task: Task, options) -> list[dict]:
    """A row for each way of fitting and random seed."""
    few, rows, chosen = task.train[: options.tune], [], {}
    for seed in range(options.seeds):
        start, seconds = learned(task, seed, options)
        networks = {scheme: lambda images, s=scheme, k=seed: task.drawn(s, images, k) for scheme in SCHEMES}
        networks["learned weights, Adam"] = lambda images, s=start: [s.network() for _ in images]
        for name, draw in networks.items():
            if name not in chosen:  # rates are tuned with the first random seed
                chosen[name] = tuned(task, draw(few), few)
            rows.append(row(task, name, seed, curve(task, draw(task.test), chosen[name]), chosen[name]))
        rows.append(row(task, "learned rates", seed, by_learned_rates(start, task)) | {"learning seconds": seconds})
        print(*rows[-4:], sep="\n", flush=True)
    return rows


def row(task: Task, name: str, seed: int, found: dict, chosen: dict | None = None) -> dict:
    rates = {f"rate {mark}": f"{kind.__name__} {lr:g}" for mark, (kind, lr) in sorted((chosen or {}).items())}
    return (
        {"family": task.name, "from": name, "seed": seed}
        | {f"{mark} steps": round(found[mark], 3) for mark in STEPS}
        | rates
    )


def summary(rows: list[dict]) -> list[dict]:
    """Medians over the random seeds, and their range at 3 and 30 steps."""
    table = []
    for family, name in dict.fromkeys((each["family"], each["from"]) for each in rows):
        own = [each for each in rows if (each["family"], each["from"]) == (family, name)]
        line = {"family": family, "from": name}
        line |= {f"{mark} steps": round(median(each[f"{mark} steps"] for each in own), 2) for mark in STEPS}
        seconds = [each["learning seconds"] for each in own if "learning seconds" in each]
        table.append(line | {"learning seconds": round(median(seconds), 1) if seconds else None})
    return table


def verdicts(rows: list[dict]) -> list[dict]:
    """Of each family and scheme: the scheme after 30 steps, the start after 3, and whether that is as much."""
    lines = []
    for family in dict.fromkeys(each["family"] for each in rows):

        def values(name: str, steps: int, family=family) -> list[float]:
            return [e[f"{steps} steps"] for e in rows if (e["family"], e["from"]) == (family, name)]

        for scheme in SCHEMES:
            ours, theirs = values("learned rates", 3), values(scheme, 30)
            wins = sum(a >= b for a, b in zip(ours, theirs, strict=True))
            best = [max(map(none_low, each)) for each in zip(*(values(n, 300) for n in LEARNED), strict=True)]
            lines.append(
                {
                    "family": family,
                    "scheme": scheme,
                    "its PSNR after 30 steps": spread(theirs),
                    "learned after 3": spread(ours),
                    "seeds in which it is as much": f"{wins} of {len(ours)}",
                    "verdict": "reached" if wins == len(ours) else "not reached",
                    "advantage after 300 steps, dB": round(mean(best) - mean(values(scheme, 300)), 2),
                }
            )
    return lines


LEARNED = ("learned rates", "learned weights, Adam")


def none_low(value: float | None) -> float:
    """A PSNR, or 0 for a fit that diverged."""
    return 0.0 if value is None or value != value else value


def spread(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--hidden", nargs="+", type=int, default=HIDDEN, help="widths of the network")
    parser.add_argument("--meta_steps", type=int, default=250)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--images", type=int, default=600, help="of tiles and kali to learn from; of faces there are 80"
    )
    parser.add_argument("--test", type=int, default=10, help="images that are fitted")
    parser.add_argument("--tune", type=int, default=5, help="images of the learning that choose the rates")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in options.families:
        rows += compare(Task(name, options), options)
    notes = {k: v for k, v in vars(options).items()}
    report("starts_runs", rows, notes, show=False)
    report("starts", summary(rows), notes)
    report("starts_verdicts", verdicts(rows), notes)


if __name__ == "__main__":
    main()
