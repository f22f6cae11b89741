"""The settings of a fit in a study: their defaults, and what is refused before any training. Imports nothing heavy."""

from collections.abc import Mapping
from pathlib import Path

from siren_fastai.names import OPTIMIZER_NAMES
from siren_fastai.schemes import get_scheme
from siren_fastai.study.checks import check_choice, check_count, check_device, check_levels, check_number

__all__ = [
    "ACTIVATIONS",
    "BIASES",
    "DEFAULTS",
    "GRIDS",
    "IMAGES",
    "LEVEL_UNITS",
    "SCHEDULES",
    "STACK_VARYING",
    "WALKS",
    "check",
    "is_shared",
    "on_gpu",
    "stack_size",
    "stacks",
]

IMAGES = (  # by name: scikit-image's, as far as they come with it, and scikit-learn's
    *("astronaut", "brick", "camera", "chelsea", "clock", "coffee", "coins", "grass", "gravel", "horse"),
    *("hubble_deep_field", "immunohistochemistry", "moon", "page", "retina", "rocket", "text", "china", "flower"),
)
GRIDS = ("centers", "corners", "left")
WALKS = ("raster", "serpentine", "zorder", "hilbert")
ORDERS = ("random", *WALKS, "shuffled")
ACTIVATIONS = ("sine", "relu", "tanh", "selu", "elu", "softplus")
BIASES = ("half_omega", "torch")
SCHEDULES = ("constant", "flat_cos", "one_cycle", "fast")
LEVEL_UNITS = ("psnr", "unit", "imagenet")

DEFAULTS = {
    # the image
    "image": "astronaut",  # one of IMAGES, or a path
    "size": 64,  # side in pixels of the square that is cut from its middle
    "color": "rgb",  # or "gray"
    # the samples
    "coords": "centers",  # a grid, one of GRIDS; or one coordinate along one of WALKS
    "bs": 1024,  # pixels per step, or "full" for all
    "order": "random",  # drawn anew for each pass; or a fixed one: one of WALKS, or "shuffled"
    "repeat": 1,  # passes per epoch
    "off_grid": False,  # train at random positions, with linearly interpolated colours
    "held_out": None,  # share of the pixels to leave out of training, at random
    "coreset": None,  # share of the pixels to train on, chosen by `coreset_by`
    "coreset_by": "random",  # or "stratified" or "nearest", by k-means, see `siren_fastai.coreset`
    "coreset_clusters": 64,  # of k-means
    # clusters of pixels
    "clusters": 1,
    "cluster_by": "color",  # k-means; or "error": cells move to the network with the smallest error, see `cluster_use`
    "cluster_use": "feature",  # label as one-hot inputs; "scalar": as one input; "network": a network per cluster
    "cluster_cell": 1,  # pixels on a side of the cells that have a label
    "cluster_coords": "image",  # or "cluster": one coordinate, the place in the cluster; for "network"
    "reassignments": 4,  # rounds in which cells may change their network, for "error", evenly over the first 4/5
    # the network
    "activation": "sine",
    "hidden": [64, 64, 64],  # widths
    "dims": None,  # all widths in place of `hidden`, such as [2, 256, 128, 64, 32, 3]
    "mult": 1,  # times as many units in every hidden layer
    "total_bytes": None,  # widths in proportion to `hidden`, the largest with at most so many bytes; see `bytes`
    "weight_bits": 32,  # that a weight counts for in `bytes`; training is in float32
    "final": "linear",  # the last layer; or "activated", like the others
    "scheme": "fast",  # of a sine network: a number from 1 to 38 or a name, see `SCHEMES`; others have their own
    "omega_0": None,  # None: the scheme's own, or 30
    "hidden_omega_0": None,  # of the layers after the first; None: as for the first, or the scheme's
    "first_bias": None,  # bound of a uniform law, before omega_0, or one of BIASES; None: the scheme's own
    "hidden_bias": None,
    "gain": None,  # factor of the coordinates; None: the scheme's own
    "mean_color": False,  # the network learns the difference from the mean colour
    # training
    "optimizer": "adam",
    "lr": 5e-4,  # the highest of the schedule
    "wd": 0.0,  # weight decay
    "schedule": "fast",  # one cycle, rising for a tenth; "one_cycle": for a quarter; "flat_cos"; "constant"
    "epochs": None,  # or `steps`, one of the two
    "steps": None,  # rounded up to whole epochs
    "freeze": None,  # layer numbers or patterns of parameter names
    "seed": 0,
    "device": "cpu",  # or "cuda", "cuda:<n>", "auto"
    # measures
    "evaluations": 12,  # of the whole image, at most: after the first epoch, then evenly, and after the last step
    "levels": [],  # to report steps, epochs, seconds and operations to
    "level_unit": "psnr",  # dB; or an MSE in [0, 1] ("unit") or of ImageNet-normalised colours ("imagenet")
    "pictures": False,  # write the images, their error and its bands, and the image as each level is first reached
}
CHOICES = {
    **dict(
        color=("rgb", "gray"), coords=(*GRIDS, *WALKS), order=ORDERS, coreset_by=("random", "stratified", "nearest")
    ),
    **dict(cluster_by=("color", "error"), cluster_use=("feature", "scalar", "network")),
    **dict(
        cluster_coords=("image", "cluster"),
        activation=ACTIVATIONS,
        final=("linear", "activated"),
        optimizer=OPTIMIZER_NAMES,
        schedule=SCHEDULES,
    ),
    **dict(level_unit=LEVEL_UNITS, off_grid=(False, True), mean_color=(False, True), pictures=(False, True)),
}
MINIMA = {
    **dict(
        size=7, repeat=1, coreset_clusters=1, clusters=1, cluster_cell=1, reassignments=1, total_bytes=1, weight_bits=1
    ),
    **dict(epochs=1, steps=1, seed=0, evaluations=2),
}
STACK_VARYING = (  # in which the networks of one stack may differ
    *("image", "seed", "lr", "scheme", "omega_0", "hidden_omega_0", "first_bias", "hidden_bias", "gain"),
)
MAX_STACK_ON_CPU, MAX_STACK_ON_GPU, STACK_BYTES = 12, 128, 1 << 32  # bytes of the activations of a step
ABOVE_ZERO = ("mult", "omega_0", "hidden_omega_0", "gain", "lr")


def stacks(settings: Mapping) -> bool:
    """Whether fits with these complete settings can share a stack, see `siren_fastai.stacks`."""
    simple = settings["clusters"] == 1 and not settings["mean_color"] and not settings["pictures"]
    return simple and settings["optimizer"] in ("adam", "adamw", "fast_adam")


def stack_size(settings: Mapping) -> int:
    """Return how many fits with these complete settings are best put into one stack; 1 for none.

    On a CPU it depends on what a fit computes in a step: a stack saves the work around the products, and loses the
    cache. Processor time of 12 fits alone, divided by that of their stack, by samples a step times the widest layer:
    3.2 at 2^14, 2.1 at 2^16, 1.5 at 2^17, 1.2 and 1.0 at 2^18. On a GPU, what the memory holds of the activations.
    """
    widths = [settings["mult"] * n for n in (settings["dims"] or settings["hidden"])]
    step = settings["size"] ** 2 if settings["bs"] == "full" else settings["bs"]
    if settings["total_bytes"] is not None:
        return 1
    if not on_gpu(settings):
        return MAX_STACK_ON_CPU if step * max(widths) <= 2**17 else 1
    evaluated = min(settings["size"] ** 2, 2**14)
    bytes_each = 4 * sum(widths) * max(3 * step, 2 * evaluated)
    return int(max(1, min(MAX_STACK_ON_GPU, STACK_BYTES // bytes_each)))


def is_shared(column: str) -> bool:
    """Whether a column of a fit's row is its share of what its stack took."""
    return "second" in column


def on_gpu(settings: Mapping) -> bool:
    """Whether fits with these settings run on a GPU."""
    if settings["device"] == "cpu":
        return False
    from siren_fastai.fits.devices import device_of  # torch, which listing studies does without

    return device_of(settings["device"]).type == "cuda"


def check(settings: Mapping) -> None:
    """Raise ValueError, with the setting and the reason, unless the fit can be run."""
    for name, choices in CHOICES.items():
        check_choice(name, settings[name], choices)
    for name, least in MINIMA.items():
        check_count(name, settings[name], least, optional=DEFAULTS[name] is None)
    for name in ABOVE_ZERO:
        check_number(name, settings[name], optional=DEFAULTS[name] is None)
    check_number("wd", settings["wd"], zero=True)
    for check_part in (_check_image, _check_samples, _check_clusters, _check_widths, _check_scheme, _check_training):
        check_part(settings)


def _check_image(settings: Mapping) -> None:
    image = settings["image"]
    if not isinstance(image, str) or (image not in IMAGES and not Path(image).is_file()):
        raise ValueError(f"`image` must be a file or one of {', '.join(IMAGES)}, got {image!r}")


def _check_samples(settings: Mapping) -> None:
    if settings["bs"] != "full":
        check_count("bs", settings["bs"], 1)
    for name in ("held_out", "coreset"):
        value = settings[name]
        if value is not None and not (isinstance(value, float) and 0 < value < 1):
            raise ValueError(f"`{name}` must be a share above 0 and below 1, got {value!r}")
    if settings["coreset"] and (settings["held_out"] or settings["order"] != "random"):
        raise ValueError("`coreset` chooses the pixels to train on: leave `held_out` and `order` out")
    if settings["off_grid"] and (settings["coreset"] or settings["held_out"] or settings["coords"] not in GRIDS):
        raise ValueError("`off_grid` trains between all pixels of a grid: leave `coreset`, `held_out` and walks out")


def _check_clusters(settings: Mapping) -> None:
    by, use, where = (settings[f"cluster_{name}"] for name in ("by", "use", "coords"))
    if settings["clusters"] > 256:
        raise ValueError(f"`clusters` must be at most 256, got {settings['clusters']}")
    if settings["clusters"] > 1 and settings["coords"] not in GRIDS:
        raise ValueError(f"`clusters` need a grid as `coords`, one of {', '.join(GRIDS)}, got {settings['coords']!r}")
    if use != "network" and (by == "error" or where == "cluster"):
        raise ValueError("`cluster_by: error` and `cluster_coords: cluster` need `cluster_use: network`")
    if by == "error" and where == "cluster":
        raise ValueError("`cluster_by: error` moves cells between networks, so places in the cluster have no meaning")


def _check_widths(settings: Mapping) -> None:
    for name in ("hidden", "dims"):
        widths = settings[name]
        if widths is None and name == "dims":
            continue
        if not isinstance(widths, list) or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in widths):
            raise ValueError(f"`{name}` must be a list of integer widths of 1 or more, got {widths!r}")
    inputs, channels = (2 if settings["coords"] in GRIDS else 1), (3 if settings["color"] == "rgb" else 1)
    dims = settings["dims"]
    if dims is not None and (len(dims) < 3 or [dims[0], dims[-1]] != [inputs, channels]):
        raise ValueError(f"`dims` must go from {inputs} coordinates over hidden widths to {channels}, got {dims}")
    if not settings["hidden"]:
        raise ValueError("`hidden` must list at least one width")
    if settings["total_bytes"] and settings["mult"] != 1:
        raise ValueError("`total_bytes` chooses the widths: leave `mult` out")


def _check_scheme(settings: Mapping) -> None:
    activation = settings["activation"]
    own = ("omega_0", "hidden_omega_0", "first_bias", "hidden_bias", "gain")
    if activation != "sine":
        changed = [name for name in own if settings[name] != DEFAULTS[name]]
        if changed:
            raise ValueError(f"`{changed[0]}` is for sine networks: leave it out with `activation: {activation}`")
        return
    try:
        scheme = get_scheme(settings["scheme"])
    except TypeError as error:
        raise ValueError(str(error)) from None
    for name in ("first_bias", "hidden_bias"):
        value = settings[name]
        if value is not None and value not in BIASES:
            check_number(name, value, zero=True)
        if value is not None and getattr(scheme, name) is None:
            raise ValueError(f"`{name}`: scheme {settings['scheme']} has no biases")
    if scheme.first_bias is None and settings["final"] != "linear":
        raise ValueError(f"scheme {settings['scheme']} has no biases in its sine layers, so it needs `final: linear`")


def _check_training(settings: Mapping) -> None:
    check_device(settings["device"])
    if (settings["epochs"] is None) == (settings["steps"] is None):
        raise ValueError("give `epochs` or `steps`, one of the two")
    check_levels(settings["levels"])
    freeze = settings["freeze"]
    patterns = freeze if isinstance(freeze, list) else [] if freeze is None else [freeze]
    if any(isinstance(p, bool) or not isinstance(p, (int, str)) for p in patterns):
        raise ValueError(f"`freeze` must be layer numbers or patterns of parameter names, got {freeze!r}")
