"""Options that several commands have."""

from siren_fastai.cli.options import Option, integer, positive
from siren_fastai.names import COLORS

__all__ = [
    "CHECKPOINT",
    "COLOR",
    "CONFIG",
    "DEVICE",
    "JOBS",
    "MAX_SECONDS",
    "OVERWRITE",
    "PRINT_CONFIG",
    "SCHEDULER",
    "SEED",
    "SIRN_FILE",
    "SIZE",
    "STEPS",
]

CONFIG = Option(
    "config_filepath", "config file: key=value, flag=true, list=[a,b,c]; # and ; start comments", short="-c"
)
PRINT_CONFIG = Option("print_config", "print every option, its value and where it came from, and stop", None)
DEVICE = Option("device", "auto, cpu, cuda or cuda:<n>; auto takes a GPU if there is one", default="auto")
SEED = Option("seed", "seed of torch, numpy and random", integer(0, 2**63 - 1), 0)
OVERWRITE = Option("y", "overwrite the output if it exists", None)
CHECKPOINT = Option("checkpoint", "a .safetensors file that fit wrote", metavar="CHECKPOINT", positional=True)
SIRN_FILE = Option("file", "a .sirn file that compress wrote", metavar="FILE", positional=True)
COLOR = Option("color", "compress it as it is, as gray, or as RGB", choices=COLORS, default="auto")
SIZE = Option(
    "size",
    "the shorter side in pixels, keeping the proportions; or height and width (default: the image's own)",
    integer(1),
    nargs="+",
    metavar="N",
)
MAX_SECONDS = Option(
    "max_seconds",
    "reject a checkpoint whose image would take longer to draw, as measured on a small part",
    positive,
    600,
    metavar="S",
)
STEPS = Option(
    "steps",
    "training steps, the last 60 % of them with quantised weights (default: 110 per unit of the network's width)",
    integer(1),
    metavar="N",
)
JOBS = Option("jobs", "processes, each with one thread (default: one for each core)", integer(1, 1024), metavar="N")
SCHEDULER = Option(
    "scheduler",
    "address of a Dask scheduler, such as tcp://host:8786, whose workers do the work instead (needs the package dask: "
    "pip install 'siren_fastai[dask]')",
    metavar="ADDRESS",
)
