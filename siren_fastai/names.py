"""The names that users choose from: the library and the command line both read them here. No imports."""

__all__ = [
    "CACHE_VARIABLE",
    "CLASSICS",
    "CLUSTER_BASES",
    "CLUSTER_USES",
    "CODEC_WEIGHTS",
    "COLORS",
    "DENOISERS",
    "METRIC_CONVENTIONS",
    "MODEL_KINDS",
    "OPTIMIZER_NAMES",
    "PAGE_WEIGHTS",
    "PRESETS",
    "RESIZE_MODES",
    "SCHEDULES",
    "SIREN_KINDS",
]

CACHE_VARIABLE = "SIREN_FASTAI_CACHE"  # the environment's name for the folder of generated images
COLORS = ("auto", "gray", "rgb")
SIREN_KINDS = ("sine", "siren")  # the same network: the official code's name, and the usual one
MODEL_KINDS = (
    *(*SIREN_KINDS, "relu", "tanh", "selu", "elu", "softplus", "nerf", "rbf", "mixed"),
    *("fourier", "gauss", "wire", "finer", "grid"),
)
OPTIMIZER_NAMES = ("adam", "adamw", "fast_adam", "ranger", "ranger_adabelief", "soap", "muon")
SCHEDULES = ("one_cycle", "flat_cos", "constant")
PRESETS = ("fast", "official")
RESIZE_MODES = ("stretch", "crop", "keep")
METRIC_CONVENTIONS = ("standard", "note")

CLASSICS = ("jpeg", "webp", "avif")
DENOISERS = ("median", "bilateral", "tv", "nlm")  # the order is the .sirn file's: append, never reorder
CLUSTER_BASES = ("color", "error")
CLUSTER_USES = ("feature", "network")
PAGE_WEIGHTS = ("auto", "float16", "float32")
CODEC_WEIGHTS = ("quantized", "quantized_rows", "float16")
