"""The entry point: finds the sub-command, and turns its errors into one line and an exit code.

Nothing heavy is imported before a sub-command really runs: help and usage errors come at once.
"""

import argparse
import errno
import sys
from importlib import import_module

from siren_fastai import __version__
from siren_fastai.cli.errors import FAILURE, INTERRUPTED, CommandError

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "fit": "train a coordinate network on a picture",
    "evaluate": "score a checkpoint against a picture",
    "render": "draw a checkpoint at any size, whole or in part",
    "analyze": "describe a training history and the leading digits of its pictures",
    "compress": "write a picture as a small file",
    "decompress": "write the picture that a compressed file holds",
    "info": "tell what a compressed file holds, and where its bytes go",
    "rd": "compare the compressed files of a folder of pictures with JPEG, WebP and AVIF",
}


def main(arguments: list[str] | None = None) -> int:
    """Run `siren-fastai` with these arguments (None: those of the process). Returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] not in COMMANDS:
        top = _top_parser()
        top.parse_args(arguments)  # --help, --version and unknown commands end here
        top.print_help()
        return 2
    command, *rest = arguments
    try:
        return _run(command, rest)
    except CommandError as error:
        return _fail(command, error, error.code)
    except KeyboardInterrupt:
        return _fail(command, "interrupted", INTERRUPTED)
    except OSError as error:
        return _fail(command, _os_message(error, command), FAILURE)
    except MemoryError as error:
        return _fail(command, _memory_message(error, command), FAILURE)
    except RuntimeError as error:
        if "memory" not in str(error):
            raise  # a fault of ours, to be seen whole
        return _fail(command, _memory_message(error, command), FAILURE)


def _run(command: str, arguments: list[str]) -> int:
    from siren_fastai.cli.declared import parser_of
    from siren_fastai.cli.options import parse

    chosen = parse(parser_of(command), arguments)
    if command == "fit":
        chosen = import_module("siren_fastai.cli.presets").resolve(chosen)
    if chosen.print_config:
        print(chosen.listing())
        return 0
    return import_module(f"siren_fastai.cli.{command}").run(chosen)


def _top_parser() -> argparse.ArgumentParser:
    lines = [f"  {name:<10} {text}" for name, text in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="siren-fastai",
        description="Coordinate networks (SIREN and its kin) for pictures.\n\ncommands:\n" + "\n".join(lines),
        epilog="`siren-fastai COMMAND --help` lists a command's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="siren-fastai COMMAND [options]",
    )
    parser.add_argument("command", choices=COMMANDS, nargs="?", metavar="COMMAND", help="one of those above")
    parser.add_argument("--version", action="version", version=f"siren_fastai {__version__}")
    return parser


def _fail(command: str, message: object, code: int) -> int:
    sys.stdout.flush()
    print(f"siren-fastai {command}: error: {message}", file=sys.stderr)
    return code


def _memory_message(error: Exception, command: str) -> str:
    hint = "; give a smaller --sidelength or --bs" if command == "fit" else ""
    return f"out of memory ({str(error)[:200]}){hint}"


def _os_message(error: OSError, command: str) -> str:
    """What the system refused, where, and what to do."""
    fit = command == "fit"
    again = "continue with --resume" if fit else "try again"
    names = ", by --logging_root and --experiment_name" if fit else ""
    hint = {
        errno.ENOSPC: f"make room, then {again}; what was written before is whole",
        errno.EACCES: f"choose a folder that you may write to{names}",
        errno.EROFS: f"choose a folder that can be written to{names}",
    }.get(error.errno, "")
    where = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{where}" + (f"; {hint}" if hint else "")
