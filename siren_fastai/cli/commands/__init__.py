"""The commands, a module each. A new one: write its module and add it to this list, which is in the order of the help.

Importing a command imports nothing heavy; what it needs is imported when it runs.
"""

from siren_fastai.cli.commands import (
    analyze,
    compress,
    decompress,
    evaluate,
    fit,
    info,
    inpaint,
    page,
    rd,
    render,
    study,
)

__all__ = ["COMMANDS"]

_MODULES = (fit, evaluate, render, page, analyze, compress, decompress, info, rd, inpaint, study)
COMMANDS = {module.COMMAND.name: module.COMMAND for module in _MODULES}
