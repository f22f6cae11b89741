"""The entry point: finds the command, and turns its errors into one line and an exit code.

Nothing heavy is imported before a command runs: help and usage errors appear at once.
"""

import argparse
import errno
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from siren_fastai import __version__
from siren_fastai.cli.commands import COMMANDS
from siren_fastai.cli.errors import FAILURE, INTERRUPTED, USAGE, CommandError, did_you_mean, in_options, one_line, warn
from siren_fastai.cli.options import Command
from siren_fastai.cli.signals import Stopped, answering_signals

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run `siren-fastai` with these arguments (None: those of the process). Returns the exit code."""
    own = arguments is None
    if own and sys.stdout is not None:
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may have bytes that are not characters
    arguments = sys.argv[1:] if own else list(arguments)
    if not arguments or arguments[0] not in COMMANDS:
        return _without_command(arguments)
    command = COMMANDS[arguments[0]]
    code = INTERRUPTED
    try:
        with answering_signals(command.on_interrupt, last=own):
            code = _guarded(command, arguments[1:])
    except (KeyboardInterrupt, Stopped):  # after the command's end, or while its error is printed
        return code
    return code


def _guarded(command: Command, arguments: list[str]) -> int:
    """Run the command. Returns the exit code, for an error after one line on standard error."""
    try:
        return _run(command, arguments)
    except CommandError as error:
        return _fail(command, _as_typed(str(error), command), error.code)
    except KeyboardInterrupt:
        return _fail(command, "interrupted", INTERRUPTED)
    except Stopped:
        return _fail(command, "stopped; files that existed or were written before are whole", INTERRUPTED)
    except OSError as error:
        return _fail(command, _os_message(error, command), FAILURE)
    except MemoryError as error:
        return _fail(command, _memory_message(error, command), FAILURE)
    except RuntimeError as error:
        if "memory" not in str(error):
            raise  # a bug of ours: show the whole traceback
        return _fail(command, _memory_message(error, command), FAILURE)


def _run(command: Command, arguments: list[str]) -> int:
    from siren_fastai.cli.environment import warn_of_unknown
    from siren_fastai.cli.parser import parse

    warn_of_unknown((option.name for each in COMMANDS.values() for option in each.options), os.environ)
    chosen = parse(command, arguments)
    if command.complete:
        chosen = command.complete(chosen)
    if chosen.print_config:
        print(chosen.listing())
        return 0
    with _warnings_as_lines():
        return command.run(chosen)


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Show the library's warnings, such as of an image's alpha channel, as lines of the command."""
    with warnings.catch_warnings():
        warnings.filterwarnings("always", module="siren_fastai")
        warnings.showwarning = lambda message, *_, **__: warn(" ".join(str(message).split()))
        yield


def _without_command(arguments: list[str]) -> int:
    """Print the help, the version, or what is wrong with the first argument."""
    if arguments and arguments[0] not in ("-h", "--help", "--version"):
        kind = "option" if arguments[0].startswith("-") else "command"
        hint = did_you_mean(arguments[0], COMMANDS)
        message = f"there is no {kind} {arguments[0]!r:.80}{hint} (`siren-fastai --help` lists the commands)"
        print(f"siren-fastai: error: {message}", file=sys.stderr)
        return USAGE
    _top_parser().parse_args(arguments[:1])  # ends here for --help and --version
    _top_parser().print_help()
    return USAGE


def _top_parser() -> argparse.ArgumentParser:
    lines = [f"  {command.name:<10} {command.summary}" for command in COMMANDS.values()]
    parser = argparse.ArgumentParser(
        prog="siren-fastai",
        description="Fit images with coordinate networks such as SIREN.\n\ncommands:\n" + "\n".join(lines),
        epilog="`siren-fastai COMMAND --help` lists a command's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="siren-fastai COMMAND [options]",
    )
    parser.add_argument("command", choices=COMMANDS, nargs="?", metavar="COMMAND", help="one of those above")
    parser.add_argument("--version", action="version", version=f"siren_fastai {__version__}")
    return parser


def _as_typed(message: str, command: Command) -> str:
    """`message` with the library's arguments, such as `bpp` in back-quotes, as the user's options: --bpp."""
    return in_options(message, {option.name: option.name for option in command.options if not option.positional})


def _fail(command: Command, message: object, code: int) -> int:
    with suppress(OSError):  # nobody reads it: a closed terminal, the end of a pipe
        print(f"siren-fastai {command.name}: error: {one_line(str(message))}", file=sys.stderr, flush=True)
        sys.stdout.flush()
    return code


def _memory_message(error: Exception, command: Command) -> str:
    return _with_advice(f"out of memory ({str(error)[:200]})", command.advice.get("memory"))


def _os_message(error: OSError, command: Command) -> str:
    """What the system refused, where, and what to do."""
    again = command.advice.get("space", "try again")
    folder = command.advice.get("folder", "")
    advice = {
        errno.ENOSPC: f"free some disk space, then {again}; files written before are complete",
        errno.EACCES: f"choose a folder that you may write to{folder}",
        errno.EROFS: f"choose a folder that can be written to{folder}",
    }.get(error.errno)
    where = f": {error.filename}" if error.filename else ""
    return _with_advice(f"{error.strerror or error}{where}", advice)


def _with_advice(message: str, advice: str | None) -> str:
    return f"{message}; {advice}" if advice else message
