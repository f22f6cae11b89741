"""A command's parser: both spellings, environment, config file, and where each value came from.

Precedence: command line > environment (SIREN_FASTAI_<OPTION>) > config file > default.
"""

import argparse
import os
import re

import configargparse

from siren_fastai.cli.config import CheckedConfigFile, open_config
from siren_fastai.cli.environment import ENVIRONMENT, check_environment, config_arguments
from siren_fastai.cli.errors import CommandError, did_you_mean
from siren_fastai.cli.options import Chosen, Command, Option

__all__ = ["parse"]

CONFIG_SPELLINGS = ("-c", "--config-filepath", "--config_filepath")
MISSING = "the following arguments are required: "
NUMBER = re.compile(r"-\.?\d|-(inf|nan)", re.IGNORECASE)  # what begins so is a value, not an option


def parse(command: Command, arguments: list[str], environment=None) -> Chosen:
    """The options of `command`. Raises: CommandError for a usage error; SystemExit after --help."""
    environment = os.environ if environment is None else environment
    parser = _parser_of(command)
    check_environment(parser._actions, environment)
    config = config_arguments(arguments, CONFIG_SPELLINGS, environment)
    found, unknown = parser.parse_known_args([*config, *_lists_last(command, arguments)], env_vars=environment)
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{_suggestion(command, unknown)}")
    found, sources = vars(found), _sources(parser)
    if config:
        sources["config_filepath"] = f"environment {ENVIRONMENT}CONFIG_FILEPATH"
    values = {}
    for option in command.options:
        value = found[option.name]
        if value is None:
            sources.setdefault(option.name, "default")
            value = False if option.type is None else option.default
        values[option.name] = value
        sources.setdefault(option.name, "command line")
    return Chosen(values, sources)


class _Help(argparse.HelpFormatter):
    """Only the first long spelling is shown; the other is the same with dashes."""

    def __init__(self, prog):
        super().__init__(prog, max_help_position=30, width=min(118, int(os.environ.get("COLUMNS", 118))))

    def _format_action_invocation(self, action):
        if not action.option_strings:
            return super()._format_action_invocation(action)
        shown = [s for s in action.option_strings if "-" not in s.lstrip("-") or not s.startswith("--")]
        value = "" if action.nargs == 0 else f" {self._format_args(action, action.dest.upper())}"
        return ", ".join(shown) + value


class _Parser(configargparse.ArgumentParser):
    """ConfigArgParse's parser, whose usage errors are `CommandError`s."""

    def error(self, message: str):
        if message.startswith(MISSING):
            message = "; ".join(map(self._described, message.removeprefix(MISSING).split(", ")))
        message = re.sub(r"(?:-\w/)?(--\w+)/--[\w-]+", r"\1", message)  # one spelling is enough
        raise CommandError(f"{message} (`{self.prog} --help` lists the options)")

    def _described(self, name: str) -> str:
        """`OUTPUT is missing: the file to write, such as image.sirn`."""
        action = next(a for a in self._actions if name in (a.metavar, "/".join(a.option_strings)))
        return f"{name} is missing: {action.help}"


def _parser_of(command: Command) -> _Parser:
    parser = _Parser(
        prog=f"siren-fastai {command.name}",
        usage=f"siren-fastai {command.name} {command.usage}",
        description=command.about,
        formatter_class=_Help,
        allow_abbrev=False,
        auto_env_var_prefix=ENVIRONMENT,
        add_env_var_help=False,
        config_file_parser_class=CheckedConfigFile,
        config_file_open_func=open_config,
        epilog="Every option can be written with dashes instead of underscores, and set in the environment: "
        f"--some_option is {ENVIRONMENT}SOME_OPTION. The command line overrides the environment, and the environment "
        "overrides the config file.",
    )
    for title, options in command.groups.items():
        group = parser.add_argument_group(title)
        for option in options:
            _add(group, option)
    parser._config_file_parser.actions = {
        key: action for action in parser._actions for key in parser.get_possible_config_keys(action)
    }
    parser._negative_number_matcher = NUMBER  # argparse's own takes -1e-3 for an option
    return parser


def _suggestion(command: Command, unknown: list[str]) -> str:
    """The option that the first unknown one may have meant."""
    options = [spelling for option in command.options if not option.positional for spelling in _spellings(option)]
    misspelt = (text.partition("=")[0] for text in unknown if text.startswith("-"))
    return next(filter(None, (did_you_mean(text, options, "--") for text in misspelt)), "")


def _lists_last(command: Command, arguments: list[str]) -> list[str]:
    """`arguments` with the options of several values at the end, where they cannot take in the positional ones."""
    lists = {name: option for option in command.options if option.nargs == "+" for name in _spellings(option)}
    others, moved, current = [], [], None
    for text in arguments:
        if text in lists:
            current, n_values = lists[text], -1  # the option itself is not a value
        elif current and n_values > 0 and not _continues(current, text):
            current = None
        if current is None:
            others.append(text)
        else:
            moved.append(text)
            n_values += 1
    return others + moved


def _continues(option: Option, text: str) -> bool:
    """Whether `text` belongs to the values before it: any number does, and any of the choices."""
    try:
        float(text)
    except ValueError:
        return text in (option.choices or ())
    return True


def _spellings(option: Option) -> list[str]:
    return list(dict.fromkeys([f"--{option.name}", f"--{option.name.replace('_', '-')}"]))


def _add(group, option: Option) -> None:
    text = f"{option.help}: {', '.join(option.choices)}" if option.choices and option.metavar else option.help
    text = text if option.default is None else f"{text} (default: {option.default})"
    settings = dict(help=text.replace("%", "%%"))
    if option.positional:
        group.add_argument(option.name, metavar=option.metavar, type=option.type, nargs=option.nargs, **settings)
        return
    names = ([option.short] if option.short else []) + _spellings(option)
    if option.type is None:
        group.add_argument(*names, dest=option.name, action="store_true", default=None, **settings)
        return
    settings |= dict(type=option.type, choices=option.choices, required=option.required, nargs=option.nargs)
    settings |= dict(is_config_file_arg=option.name == "config_filepath")
    settings |= dict(action="append") if option.repeated else {}
    group.add_argument(*names, dest=option.name, metavar=option.metavar, **settings)


def _sources(parser: _Parser) -> dict[str, str]:
    """Where the values came from that the command line does not set."""
    sources = {}
    for kind, settings in parser.get_source_to_settings_dict().items():
        for key, (action, _) in settings.items():
            if kind.startswith("config_file"):
                sources.setdefault(action.dest, parser._config_file_parser.place_of(key))
            elif kind == "environment_variables":
                sources[action.dest] = f"environment {key}"
    return sources
