"""Options that several sub-commands have, and what their choices are."""

from siren_fastai.cli.options import Option

__all__ = ["COLORS", "CONFIG", "DEVICE", "PRINT_CONFIG"]

COLORS = ("auto", "gray", "rgb")

CONFIG = Option("config_filepath", "config file: key=value, flag=true, stuff=[a,b,c]; # and ; are comments", short="-c")
PRINT_CONFIG = Option("print_config", "print every option, its value and where it came from, and stop", None)
DEVICE = Option("device", "auto, cpu, cuda or cuda:<n>; auto takes a GPU where there is one", default="auto")
