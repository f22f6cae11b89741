"""Options: both spellings, config files with file and line, precedence for each type, where values come from."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from siren_fastai import names
from siren_fastai.classics import QUALITIES
from siren_fastai.cli.commands import COMMANDS
from siren_fastai.cli.docs import page
from siren_fastai.cli.errors import CommandError
from siren_fastai.cli.fitting import fill as resolve
from siren_fastai.cli.main import main
from siren_fastai.cli.options import text as text_option
from siren_fastai.cli.parser import parse
from siren_fastai.fits.presets import OFFICIAL
from siren_fastai.learner import siren_learner
from siren_fastai.models.families import FAMILIES
from siren_fastai.optimizers import OPTIMIZERS
from siren_fastai.schemes import SCHEMES

NAME = ["--experiment_name", "x"]


def options(*arguments, environment=None):
    return parse(COMMANDS["fit"], [*NAME, *arguments], environment or {})


@pytest.fixture
def config(tmp_path):
    """Write a config file; returns the arguments that name it."""

    def write(text):
        path = tmp_path / "run.ini"
        path.write_text(text)
        return ["-c", str(path)]

    return write


def test_the_notes_options_are_all_there_by_their_names(capsys):
    names = "config_filepath evaluate y n show_graphics seed logging_root experiment_name image_filepath sidelength "
    names += "batch_size lr num_epochs epochs_til_ckpt steps_til_summary model_type checkpoint_path"
    assert [option.name for option in COMMANDS["fit"].groups["options of the 2020 report"]] == names.split()
    with pytest.raises(SystemExit) as done:
        main(["fit", "--help"])
    text = capsys.readouterr().out
    assert done.value.code == 0 and "-c, --config_filepath" in text and "Config file syntax allows: key=value" in text
    assert all(f"--{name}" in text for name in names.split())


def test_defaults_are_the_notes():
    chosen = options()
    assert (chosen.seed, chosen.logging_root, chosen.batch_size) == (0, "./logs", 1)
    assert (chosen.epochs_til_ckpt, chosen.steps_til_summary, chosen.evaluate) == (25, 1000, False)
    assert chosen.checkpoint_path is None and chosen.image_filepath is None and chosen.sidelength is None
    official = resolve(options("--preset", "official"))
    assert (official.lr, official.num_epochs, official.model_type) == (1e-4, 10_000, "sine")


def test_the_fast_preset_has_the_librarys_defaults_and_options_win_over_presets():
    chosen = resolve(options("--num_epochs", "7"))
    default = inspect.signature(siren_learner).parameters["lr"].default
    assert chosen.lr == default and chosen.num_epochs == 7 and chosen.schedule == "one_cycle"
    assert chosen.sources["lr"] == "preset fast" and chosen.sources["num_epochs"] == "command line"
    assert resolve(options("--preset", "official", "--lr", "0.5")).lr == 0.5


SPELLED = [
    (command, option)
    for command in COMMANDS.values()
    for option in command.options
    if "_" in option.name and not option.positional and option.name not in ("config_filepath", "print_config")
]


def required_by(command, besides):
    """The arguments without which `command` is not understood."""
    positional = [option.choices[0] if option.choices else "x" for option in command.options if option.positional]
    needed = [option for option in command.options if option.required and option is not besides]
    return positional + [text for option in needed for text in (f"--{option.name}", *value_for(option))]


def value_for(option):
    """Arguments that are valid for `option`."""
    if option.type is None:
        return []
    return [option.choices[-1] if option.choices else "name" if option.type is text_option else "3"]


@pytest.mark.parametrize("command, option", SPELLED, ids=lambda value: value.name)
def test_both_spellings_are_one_option(command, option):
    required = required_by(command, besides=option)
    spellings = option.name, option.name.replace("_", "-")
    found = [parse(command, [*required, f"--{name}", *value_for(option)], {}) for name in spellings]
    assert found[0] == found[1] and found[0].sources[option.name] == "command line"
    assert found[0].values[option.name] != option.default


def test_both_spellings_of_the_config_files_option_read_it(config):
    path = config("num_epochs=3")[1]
    for name in ("-c", "--config_filepath", "--config-filepath"):
        assert options(name, path).num_epochs == 3


def test_both_spellings_of_print_config_print(capsys):
    for name in ("--print_config", "--print-config"):
        assert main(["fit", *NAME, name]) == 0
        assert "experiment_name" in capsys.readouterr().out


def test_the_names_to_choose_from_are_those_of_the_library():
    assert names.OPTIMIZER_NAMES == tuple(OPTIMIZERS) and names.CLASSICS == tuple(QUALITIES)
    assert names.MODEL_KINDS == tuple(FAMILIES)
    assert "fast" in SCHEMES and OFFICIAL["kind"] in names.MODEL_KINDS


# --- precedence: command line > environment > config file > default, for each type of option

TYPES = {  # name: (config, environment, command line), as text and as value
    "num_epochs": (("5", 5), ("6", 6), ("7", 7)),
    "lr": (("0.5", 0.5), ("0.25", 0.25), ("1e-3", 1e-3)),
    "image_filepath": (("a b.png", "a b.png"), ("c.png", "c.png"), ("d.png", "d.png")),
    "model_type": (("relu", "relu"), ("tanh", "tanh"), ("nerf", "nerf")),
}


@pytest.mark.parametrize("name", TYPES)
def test_precedence_of_values(name, config):
    file, environment, line = TYPES[name]
    default = options()
    assert getattr(default, name) is None and default.sources[name] == "default"
    arguments = config(f"# a run\n{name} = {file[0]}\n")
    chosen = options(*arguments)
    assert getattr(chosen, name) == file[1] and chosen.sources[name] == f"config file {arguments[1]}, line 2"
    variables = {f"SIREN_FASTAI_{name.upper()}": environment[0]}
    chosen = options(*arguments, environment=variables)
    assert getattr(chosen, name) == environment[1]
    assert chosen.sources[name] == f"environment SIREN_FASTAI_{name.upper()}"
    chosen = options(*arguments, f"--{name}", line[0], environment=variables)
    assert getattr(chosen, name) == line[1] and chosen.sources[name] == "command line"


def test_precedence_of_flags(config):
    arguments = config("evaluate=true\n")
    assert options(*arguments).evaluate is True and options().evaluate is False
    chosen = options(*arguments, environment={"SIREN_FASTAI_EVALUATE": "false"})
    assert chosen.evaluate is False and chosen.sources["evaluate"] == "environment SIREN_FASTAI_EVALUATE"
    chosen = options(*arguments, "--evaluate", environment={"SIREN_FASTAI_EVALUATE": "false"})
    assert chosen.evaluate is True and chosen.sources["evaluate"] == "command line"
    off = options(*config("evaluate=false\n"))
    assert off.evaluate is False and off.sources["evaluate"].startswith("config file")


def test_precedence_of_lists(config):
    def size(*arguments, environment=None):
        return parse(COMMANDS["render"], ["a", "b.png", *arguments], environment or {})

    for text in ("size=4\n", "size=[4]\n"):
        assert size(*config(text)).size == [4]
    arguments = config("size=[4,5]\n")
    assert size().size is None and size(*arguments).size == [4, 5]
    assert size(*arguments, environment={"SIREN_FASTAI_SIZE": "[6,7]"}).size == [6, 7]
    chosen = size(*arguments, "--size", "8", "9", environment={"SIREN_FASTAI_SIZE": "[6,7]"})
    assert chosen.size == [8, 9] and chosen.sources["size"] == "command line"


@pytest.mark.parametrize("given", [["4"], ["4", "5"]])
def test_lists_do_not_take_in_the_arguments_after_them(given):
    for arguments in (
        ["--size", *given, "a", "b.png"],
        ["a", "--size", *given, "b.png"],
        ["a", "b.png", "--size", *given],
    ):
        chosen = parse(COMMANDS["render"], arguments, {})
        assert (chosen.checkpoint, chosen.output, chosen.size) == ("a", "b.png", [int(n) for n in given])
    chosen = parse(COMMANDS["rd"], ["--codecs", "jpeg", "webp", "--bpp", *given, "folder", "--output", "x", "--y"], {})
    assert (chosen.folder, chosen.codecs, chosen.output, chosen.y) == ("folder", ["jpeg", "webp"], "x", True)
    with pytest.raises(CommandError, match="argument --size: must be an integer of 1 or more, got 'x'"):
        parse(COMMANDS["render"], ["a", "b.png", "--size", "x"], {})
    with pytest.raises(CommandError, match="argument --size: expected at least one argument"):
        parse(COMMANDS["render"], ["a", "b.png", "--size"], {})


def test_the_required_name_may_come_from_the_config_file_or_the_environment(config):
    assert parse(COMMANDS["fit"], config("experiment_name: out\n"), {}).experiment_name == "out"
    assert parse(COMMANDS["fit"], [], {"SIREN_FASTAI_EXPERIMENT_NAME": "out"}).experiment_name == "out"
    with pytest.raises(CommandError, match="--experiment_name is missing: name of the output folder"):
        parse(COMMANDS["fit"], [], {})


def test_config_syntax(config):
    text = """# comment
    ; another
    [section]
    ---
    num_epochs=3
    lr: 0.5
    show-graphics
    evaluate=true  # at the end
    logging_root = "my logs"
    """
    chosen = options(*config(text))
    assert (chosen.num_epochs, chosen.lr, chosen.show_graphics, chosen.evaluate) == (3, 0.5, True, True)
    assert chosen.logging_root == "my logs" and chosen.sources["lr"].endswith("run.ini, line 6")


@pytest.mark.parametrize(
    "text, message",
    [
        ("lr=1\nnum_epoch=3\n", "run.ini, line 2: unknown key 'num_epoch'; did you mean 'num_epochs'?"),
        ("qqqqqq=3\n", "run.ini, line 1: unknown key 'qqqqqq'; `--help` lists the options"),
        ("\nevaluate=maybe\n", "run.ini, line 2: evaluate: expected true or false, got 'maybe'"),
        ("num_epochs=three\n", "run.ini, line 1: num_epochs: must be an integer of 0 or more, got 'three'"),
        ("lr=-1\n", "run.ini, line 1: lr: must be a number above 0, got '-1'"),
        ("lr=\n", "run.ini, line 1: lr: must be a number above 0, got ''"),
        ("lr=[1,2]\n", "run.ini, line 1: lr: expected one value, got the list"),
        ("model_type=snake\n", "run.ini, line 1: model_type: expected one of sine, siren, relu"),
        ("lr=1\n# x\nlr=2\n", "run.ini, line 3: lr: given before, in line 1"),
        ("num_epochs=1\nnum-epochs=2\n", "run.ini, line 2: num-epochs: given before, in line 1"),
        ("= 3\n", "run.ini, line 1: expected key=value, got '= 3'"),
        ("config_filepath=other.ini\n", "run.ini, line 1: a config file cannot name another"),
    ],
)
def test_wrong_config_files_end_with_file_line_and_fix(config, text, message):
    with pytest.raises(CommandError) as error:
        options(*config(text))
    assert message in str(error.value) and error.value.code == 2


def test_a_binary_or_missing_config_file_is_a_usage_error(tmp_path):
    (tmp_path / "x.ini").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(CommandError, match="x.ini. Error: not a text file in UTF-8"):
        options("-c", str(tmp_path / "x.ini"))
    with pytest.raises(CommandError, match="Unable to open config file: .*none.ini"):
        options("-c", str(tmp_path / "none.ini"))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--lr", "zero"], "argument --lr: must be a number above 0, got 'zero'"),
        (["--lr", "nan"], "must be a number above 0, got 'nan'"),
        (["--num_epochs", "1.5"], "must be an integer of 0 or more, got '1.5'"),
        (["--sidelength", "0"], "must be an integer of 1 or more, got '0'"),
        (["--model_type", "snake"], "invalid choice: 'snake'"),
        (["--num_epoch", "3"], "unrecognized arguments: --num_epoch 3"),
        (["--seed", "-1"], "must be an integer from 0 to 9223372036854775807, got '-1'"),
        (["--seed", "9" * 20], "must be an integer from 0 to 9223372036854775807, got '99999999999999999999'"),
        (["--num_epochs", "9" * 23], "must be an integer from 0 to 1000000000, got "),
        (["--num_epochs", "9" * 5000], "must be an integer of 0 or more, got '999"),  # int() refuses it
        (["--lr", "1e308"], "--lr: must be a number above 0 and at most 3.4e+38, got '1e308'"),
        (["--lr", "inf"], "must be a number above 0 and at most 3.4e+38, got 'inf'"),
        (["--image_filepath", ""], "--image_filepath: must not be empty"),
        (["--image_filepath", "-"], "must name a file: - (standard input or output) is not supported"),
        (["--image_filepath", "--lr"], "--image_filepath: expected one argument"),
        (["--num_epoch=3"], "unrecognized arguments: --num_epoch=3; did you mean --num_epochs?"),
        (["--num-epoch", "3"], "did you mean --num-epochs?"),
        (["--qqq"], "unrecognized arguments: --qqq (`siren-fastai fit --help` lists the options)"),
    ],
)
def test_wrong_arguments_are_usage_errors(arguments, message):
    with pytest.raises(CommandError) as error:
        options(*arguments)
    assert message in str(error.value) and error.value.code == 2


def test_wrong_environment_variables_are_named():
    with pytest.raises(CommandError, match="environment variable SIREN_FASTAI_LR: must be a number above 0, got 'x'"):
        options(environment={"SIREN_FASTAI_LR": "x"})
    with pytest.raises(CommandError, match="SIREN_FASTAI_EVALUATE: expected true or false, got 'maybe'"):
        options(environment={"SIREN_FASTAI_EVALUATE": "maybe"})


def test_unknown_environment_variables_are_warned_of(capsys, monkeypatch):
    monkeypatch.setenv("SIREN_FASTAI_NUM_EPOCH", "3")
    monkeypatch.setenv("SIREN_FASTAI_QQQQQQ", "3")
    monkeypatch.setenv("SIREN_FASTAI_BPP", "3")  # of another command
    monkeypatch.setenv("SIREN_FASTAI_CACHE", "images")  # of the generated images, no option
    assert main(["fit", *NAME, "--print_config"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "siren-fastai: warning: the environment variable SIREN_FASTAI_NUM_EPOCH has no effect; did you mean "
        "SIREN_FASTAI_NUM_EPOCHS?",
        "siren-fastai: warning: the environment variable SIREN_FASTAI_QQQQQQ has no effect; no command has such an "
        "option",
    ]


def test_the_environment_may_name_the_config_file(config, tmp_path):
    path = config("num_epochs=3")[1]
    chosen = options(environment={"SIREN_FASTAI_CONFIG_FILEPATH": path})
    assert chosen.num_epochs == 3 and chosen.config_filepath == path
    assert chosen.sources["config_filepath"] == "environment SIREN_FASTAI_CONFIG_FILEPATH"
    other = tmp_path / "other.ini"
    other.write_text("num_epochs=4")
    for given in (["-c", str(other)], [f"--config_filepath={other}"], ["--config-filepath", str(other)]):
        chosen = options(*given, environment={"SIREN_FASTAI_CONFIG_FILEPATH": path})
        assert chosen.num_epochs == 4 and chosen.sources["config_filepath"] == "command line"
    with pytest.raises(CommandError, match="Unable to open config file: nowhere.ini"):
        options(environment={"SIREN_FASTAI_CONFIG_FILEPATH": "nowhere.ini"})


def test_a_config_file_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "x.ini").write_bytes(b"\xef\xbb\xbfnum_epochs=3\n")
    assert options("-c", str(tmp_path / "x.ini")).num_epochs == 3


def test_what_never_ends_is_no_config_file():
    with pytest.raises(CommandError, match="/dev/zero. Error: a config file has at most 1 MB"):
        options("-c", "/dev/zero")


def test_messages_are_one_line_whatever_names_files_have(capsys):
    assert main(["info", "a\nb\x1b[31m"]) == 2
    assert capsys.readouterr().err == "siren-fastai info: error: there is no file a\\nb\\x1b[31m\n"


def test_names_that_are_not_text_can_be_printed():
    code = "import sys\nfrom siren_fastai.cli.main import main\n"
    code += "sys.argv[1:] = ['fit', '--experiment_name', 'a\\udcff', '--print_config']\nsys.exit(main())"
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert "experiment_name" in done.stdout and "a\\udcff" in done.stdout


def test_negative_numbers_are_values_however_they_are_written():
    region = ["-1e-3", "-.5", "-5E-2", "1"]
    assert parse(COMMANDS["render"], ["a", "b.png", "--region", *region], {}).region == [-1e-3, -0.5, -0.05, 1]
    with pytest.raises(CommandError, match="--region: must be a finite number, got '-inf'"):
        parse(COMMANDS["render"], ["a", "b.png", "--region", "-inf", "-1", "1", "1"], {})


def targets(*arguments, environment=None):
    chosen = parse(COMMANDS["compress"], ["a.png", "b.sirn", *arguments], environment or {})
    return COMMANDS["compress"].complete(chosen)


def test_a_target_of_a_stronger_source_overrides_those_of_the_others(config):
    file, variable = config("bpp=0.5"), {"SIREN_FASTAI_QUALITY": "30"}
    chosen = targets(*file, "--psnr", "30", environment=variable)
    assert (chosen.bpp, chosen.quality, chosen.psnr) == (None, None, 30)
    assert chosen.sources["bpp"] == f"config file {file[1]}, line 1, overridden by --psnr"
    chosen = targets(*file, environment=variable)
    assert (chosen.bpp, chosen.quality, chosen.psnr) == (None, 30, None)
    assert targets(*file).bpp == 0.5


def test_targets_of_equal_sources_are_named_with_their_places(config, capsys):
    file = config("bpp=0.5\npsnr=30\n")
    assert main(["compress", "a.png", "b.sirn", *file]) == 2
    places = f"--bpp (config file {file[1]}, line 1), --psnr (config file {file[1]}, line 2)"
    assert f"give exactly one of --bpp, --psnr, --quality and --max_bytes, got {places}" in capsys.readouterr().err


def test_print_config_tells_where_each_value_came_from(config, capsys, monkeypatch):
    monkeypatch.setenv("SIREN_FASTAI_LR", "0.5")
    arguments = config("num_epochs=3\n")
    assert main(["fit", *NAME, "--preset", "official", *arguments, "--print_config"]) == 0
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in capsys.readouterr().out.splitlines()}
    assert rows["num_epochs"] == ["3", f"config file {arguments[1]}, line 1"]
    assert rows["lr"] == ["0.5", "environment SIREN_FASTAI_LR"] and rows["model_type"] == ["sine", "preset official"]
    assert rows["experiment_name"] == ["x", "command line"] and rows["seed"] == ["0", "default"]


# --- the program as a whole


def test_help_version_and_unknown_commands(capsys):
    for arguments in (["--help"], ["--version"]):
        with pytest.raises(SystemExit) as done:
            main(arguments)
        assert done.value.code == 0
    assert main([]) == 2
    for argument, message in (
        ("compres", "there is no command 'compres'; did you mean compress? ("),
        ("qqq", "there is no command 'qqq' ("),
        ("-x", "there is no option '-x' ("),
    ):
        assert main([argument, "a.png"]) == 2
        assert capsys.readouterr().err.startswith(f"siren-fastai: error: {message}")
    assert main([]) == 2
    text = capsys.readouterr().out
    assert all(command in text for command in COMMANDS)


def test_y_with_n_is_a_usage_error(capsys):
    assert main(["fit", *NAME, "--y", "--n"]) == 2
    assert "--y erases the output folder and --n keeps it" in capsys.readouterr().err


def test_help_and_usage_errors_import_nothing_heavy():
    lines = [["--help"], *([name, option] for name in COMMANDS for option in ("--help", "--no_such_option"))]
    code = "import sys\nfrom siren_fastai.cli.main import main\n"
    code += f"for arguments in {lines}:\n"
    code += "    try: main(arguments)\n    except SystemExit: pass\n"
    code += (
        "heavy = {'torch', 'numpy', 'fastai', 'matplotlib', 'pandas', 'PIL', 'skimage', 'sklearn'} & set(sys.modules)\n"
    )
    code += "assert not heavy, heavy"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_prints_its_help_and_its_configuration(command, capsys):
    with pytest.raises(SystemExit) as done:
        main([command.name, "--help"])
    text = capsys.readouterr().out
    assert done.value.code == 0 and text.startswith(f"usage: siren-fastai {command.name} ")
    assert all(
        option.metavar in text if option.positional else f"--{option.name}" in text for option in command.options
    )
    assert main([command.name, *required_by(command, besides=None), "--print_config"]) == 0
    printed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert printed == [option.name for option in command.options]


def test_the_page_on_the_command_line_is_current():
    written = (Path(__file__).parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == page(), "write it again: python -m siren_fastai.cli.docs docs/cli.md"
