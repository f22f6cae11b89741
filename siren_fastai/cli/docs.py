"""`docs/cli.md` from the commands: `python -m siren_fastai.cli.docs docs/cli.md`; without a path, print it."""

import argparse
import sys
from pathlib import Path

from siren_fastai.cli.commands import COMMANDS
from siren_fastai.cli.environment import ENVIRONMENT
from siren_fastai.cli.options import Command, Option
from siren_fastai.files import replacing

__all__ = ["main", "page"]

HEAD = f"""# The command line

<!-- Written by `python -m siren_fastai.cli.docs docs/cli.md` from the commands; a test keeps it current. -->

`siren-fastai COMMAND [options]`, or `python -m siren_fastai.cli COMMAND [options]`.

- Options can be written with underscores or dashes: `--num_epochs` is `--num-epochs`.
- Options with several values take them separated by spaces: `--size 64 96`.
- Each option can also be set in the environment, `{ENVIRONMENT}NUM_EPOCHS=300`, or in a config file, `-c run.ini`, with
  lines such as `num_epochs = 300`, `num_epochs: 300`, `evaluate=true`, `size=[64,96]`; `#` and `;` start comments,
  `[section]` and `---` lines are ignored. The command line overrides the environment, the environment overrides the
  config file, and the config file overrides the defaults. `--print_config` shows where each value came from.
- Exit codes: 0 done; 1 failed, files written before are complete; 2 wrong or impossible arguments; 130 interrupted by
  Ctrl-C.

"""


def page() -> str:
    """The whole page, Markdown."""
    return HEAD + "\n".join(_section(command) for command in COMMANDS.values())


def _section(command: Command) -> str:
    lines = [f"## {command.name}", "", command.about, "", f"    siren-fastai {command.name} {command.usage}", ""]
    for title, options in command.groups.items():
        lines += [f"### {command.name}: {title}", "", "| option | values | meaning |", "|---|---|---|"]
        lines += [_row(option) for option in options] + [""]
    return "\n".join(lines) + command.notes


def _row(option: Option) -> str:
    name = option.metavar if option.positional else f"--{option.name}"
    name = f"`{option.short}`, `{name}`" if option.short else f"`{name}`"
    default = "" if option.default is None else f" (default: `{option.default}`)"
    return f"| {name} | {_values(option)} | {(option.help + default).replace('|', '/')} |"


def _values(option: Option) -> str:
    if option.type is None:
        return "flag"
    if option.choices:
        return ", ".join(f"`{choice}`" for choice in option.choices)
    names = option.metavar if isinstance(option.metavar, tuple) else (option.metavar or "value",)
    return " ".join(str(name) for name in names) + (" ..." if option.nargs == "+" else "")


def main(arguments: list[str] | None = None) -> int:
    """Print the page, or write it to the path given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", type=Path)
    path = parser.parse_args(arguments).path
    if path is None:
        sys.stdout.write(page())
        return 0
    with replacing(path) as temporary:
        temporary.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
