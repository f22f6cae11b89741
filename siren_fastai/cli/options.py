"""Options from a declaration: a parser with both spellings, environment, config file, and where each value came from.

Precedence: command line > environment (SIREN_FASTAI_<OPTION>) > config file > default.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, field

import configargparse

from siren_fastai.cli.config import CheckedConfigFile, check_value
from siren_fastai.cli.errors import CommandError

__all__ = ["ENVIRONMENT", "Chosen", "Option", "OptionParser", "at_least", "build_parser", "parse", "positive"]

ENVIRONMENT = "SIREN_FASTAI_"


@dataclass(frozen=True)
class Option:
    """One option. `type` None is a flag; `default` None is told by `help`; `short` is another spelling, such as -c."""

    name: str
    help: str
    type: Callable | None = str
    default: object = None
    choices: tuple[str, ...] | None = None
    metavar: str | tuple[str, ...] | None = None
    short: str | None = None
    nargs: int | str | None = None
    required: bool = False
    positional: bool = False


def at_least(least: int) -> Callable[[str], int]:
    """The type of whole numbers of `least` or more."""

    def whole(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of {least} or more, got {text!r}")
        return number

    return whole


def positive(text: str) -> float:
    """The type of finite numbers above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return number


@dataclass
class Chosen:
    """The value of every option, as attributes, and where each came from: `sources`."""

    values: dict
    sources: dict[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str):
        try:
            return self.__dict__["values"][name]
        except KeyError:
            raise AttributeError(name) from None

    def given(self, name: str) -> bool:
        """Whether the user said it, anywhere."""
        return self.sources[name] != "default" and not self.sources[name].startswith("preset")

    def fill(self, values: dict, source: str) -> None:
        """Set what the user left open."""
        for name, value in values.items():
            if not self.given(name):
                self.values[name], self.sources[name] = value, source

    def listing(self) -> str:
        """Every option, its value and where that came from, one a line."""
        rows = [(name, _shown(value), self.sources[name]) for name, value in self.values.items()]
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        return "\n".join(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {source}" for name, value, source in rows)


def _shown(value) -> str:
    return "-" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


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


class OptionParser(configargparse.ArgumentParser):
    """ConfigArgParse's parser; usage errors are `CommandError`s, and `options` remembers the declaration."""

    options: tuple[Option, ...] = ()

    def error(self, message: str):
        raise CommandError(f"{message}\n(`{self.prog} --help` lists the options)")


def build_parser(prog: str, usage: str, about: str, groups: dict[str, tuple[Option, ...]]) -> OptionParser:
    """The parser of a sub-command; `groups` are titled lists of options."""
    parser = OptionParser(
        prog=prog,
        usage=usage,
        description=about,
        formatter_class=_Help,
        allow_abbrev=False,
        auto_env_var_prefix=ENVIRONMENT,
        add_env_var_help=False,
        config_file_parser_class=CheckedConfigFile,
        epilog=f"Every option may be written with dashes instead of underscores, and set by the environment: "
        f"--some_option is {ENVIRONMENT}SOME_OPTION. The command line wins over the environment, that over the file.",
    )
    parser.options = tuple(option for options in groups.values() for option in options)
    for title, options in groups.items():
        group = parser.add_argument_group(title)
        for option in options:
            _add(group, option)
    parser._config_file_parser.actions = {
        key: action for action in parser._actions for key in parser.get_possible_config_keys(action)
    }
    return parser


def _add(group, option: Option) -> None:
    text = option.help if option.default is None else f"{option.help} (default: {option.default})"
    settings = dict(help=text.replace("%", "%%"))
    if option.positional:
        group.add_argument(option.name, metavar=option.metavar, type=option.type, nargs=option.nargs, **settings)
        return
    spellings = list(dict.fromkeys([f"--{option.name}", f"--{option.name.replace('_', '-')}"]))
    names = ([option.short] if option.short else []) + spellings
    if option.type is None:
        group.add_argument(*names, dest=option.name, action="store_true", default=None, **settings)
        return
    settings |= dict(type=option.type, choices=option.choices, required=option.required, nargs=option.nargs)
    settings |= dict(is_config_file_arg=option.name == "config_filepath")
    group.add_argument(*names, dest=option.name, metavar=option.metavar, **settings)


def parse(parser: OptionParser, arguments: list[str], environment=None) -> Chosen:
    """The options of a sub-command. Raises: CommandError for a usage error; SystemExit after --help."""
    environment = os.environ if environment is None else environment
    _check_environment(parser, environment)
    found = vars(parser.parse_args(arguments, env_vars=environment))
    sources = _sources(parser)
    values = {}
    for option in parser.options:
        value = found[option.name]
        if value is None:
            sources.setdefault(option.name, "default")
            value = False if option.type is None else option.default
        values[option.name] = value
        sources.setdefault(option.name, "command line")
    return Chosen(values, sources)


def _check_environment(parser: OptionParser, environment) -> None:
    for option in parser.options:
        name = ENVIRONMENT + option.name.upper()
        if name in environment and not option.positional:
            action = next(action for action in parser._actions if action.dest == option.name)
            text = environment[name]
            several = action.nargs and text.startswith("[") and text.endswith("]")
            problem = check_value(action, text[1:-1].split(",") if several else text)
            if problem:
                raise CommandError(f"environment variable {name}: {problem}")


def _sources(parser: OptionParser) -> dict[str, str]:
    """Where the values came from that the command line does not set."""
    sources = {}
    for kind, settings in parser.get_source_to_settings_dict().items():
        for key, (action, _) in settings.items():
            if kind.startswith("config_file"):
                sources.setdefault(action.dest, parser._config_file_parser.place_of(key))
            elif kind == "environment_variables":
                sources[action.dest] = f"environment {key}"
    return sources
