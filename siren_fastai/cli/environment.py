"""Options in the environment: SIREN_FASTAI_<OPTION>, checked before they are used."""

import argparse
from collections.abc import Iterable, Mapping, Sequence

from siren_fastai.cli.config import check_value
from siren_fastai.cli.errors import CommandError, did_you_mean, warn
from siren_fastai.names import CACHE_VARIABLE

__all__ = ["ENVIRONMENT", "check_environment", "config_arguments", "warn_of_unknown"]

ENVIRONMENT = "SIREN_FASTAI_"
CONFIG = f"{ENVIRONMENT}CONFIG_FILEPATH"


def check_environment(actions: Iterable[argparse.Action], environment: Mapping[str, str]) -> None:
    """Raise CommandError for a value that its option does not take."""
    for action in actions:
        name = ENVIRONMENT + action.dest.upper()
        if name in environment and action.option_strings:
            text = environment[name]
            several = (
                (action.nargs or isinstance(action, argparse._AppendAction))
                and text.startswith("[")
                and text.endswith("]")
            )
            problem = check_value(action, text[1:-1].split(",") if several else text)
            if problem:
                raise CommandError(f"environment variable {name}: {problem}")


def config_arguments(
    arguments: Sequence[str],  # of the command line
    spellings: Sequence[str],  # of the config file's option
    environment: Mapping[str, str],
) -> list[str]:
    """Return the arguments that name the environment's config file, or none if the command line names another."""
    named = any(text in spellings or text.startswith((f"{spellings[-1]}=", "-c")) for text in arguments)
    return [] if named or CONFIG not in environment else [spellings[-1], environment[CONFIG]]


def warn_of_unknown(options: Iterable[str], environment: Mapping[str, str]) -> None:
    """Warn of variables that are no option of any command: most likely they are misspelt."""
    known = [ENVIRONMENT + name.upper() for name in options] + [CACHE_VARIABLE]
    for name in environment:
        if name.startswith(ENVIRONMENT) and name not in known:
            hint = did_you_mean(name, known, ENVIRONMENT) or "; no command has such an option"
            warn(f"the environment variable {name} has no effect{hint}")
