"""The training of `siren-fastai fit`: `siren_learner` and fastai's fits."""

from fastai.callback.schedule import ParamScheduler, combined_cos

from siren_fastai.cli.devices import deterministic, device_of
from siren_fastai.cli.errors import FAILURE, INTERRUPTED, CommandError
from siren_fastai.cli.experiments import Experiment, prepare
from siren_fastai.cli.options import Chosen
from siren_fastai.cli.outputs import write_outputs
from siren_fastai.cli.runs import resume_command

__all__ = ["run_fit", "train"]


def run_fit(chosen: Chosen) -> int:
    """Fit as `chosen` says, whose presets are resolved; write everything; say where it is."""
    device = device_of(chosen.device)
    with deterministic(device):
        experiment = prepare(chosen, device)
        train(experiment)
        final = experiment.record.finish(max(chosen.num_epochs, experiment.record.start))
        final.model.to(device)
        print(write_outputs(final, experiment.record, experiment.target, chosen), flush=True)
    return 0


def train(experiment: Experiment) -> None:
    """Fit, and whatever happens leave a history and a checkpoint to go on from.

    Raises: CommandError if it was interrupted or diverged; OSError if nothing could be written.
    """
    record, epochs = experiment.record, experiment.chosen.num_epochs
    if record.start >= epochs:
        experiment.line.say(f"{record.start} epochs are done already" if record.start else "no epochs to train for")
        return
    try:
        _fit(experiment)
        if record.diverged is None:
            record.check(epochs)
    except KeyboardInterrupt:
        raise _interrupted(experiment) from None
    finally:
        experiment.line.clear()
        if experiment.board:
            experiment.board.close()
    if record.diverged is not None:
        raise _diverged(experiment)


def _fit(experiment: Experiment) -> None:
    learn, chosen = experiment.learn, experiment.chosen
    common = dict(start_epoch=experiment.record.start)
    with learn.no_bar(), learn.no_logging():
        if chosen.schedule == "one_cycle":
            learn.fit_fast(chosen.num_epochs, **common)
        elif chosen.schedule == "flat_cos":  # fastai's fit_flat_cos, which forgets start_epoch
            falling = ParamScheduler({"lr": combined_cos(0.75, chosen.lr, chosen.lr, chosen.lr / 1e5)})
            learn.fit(chosen.num_epochs, cbs=falling, **common)
        else:
            learn.fit(chosen.num_epochs, **common)


def _interrupted(experiment: Experiment) -> CommandError:
    record = experiment.record
    if record.good is None:
        return CommandError("interrupted before the first epoch; nothing was trained", INTERRUPTED)
    record.save()
    return CommandError(
        f"interrupted in epoch {record.good.epoch}; history.txt and model_current are written. "
        f"Go on with\n  {resume_command(experiment.folder)}",
        INTERRUPTED,
    )


def _diverged(experiment: Experiment) -> CommandError:
    record, chosen = experiment.record, experiment.chosen
    kept = "" if record.good is None else f"; history.txt and model_current hold the state of epoch {record.good.epoch}"
    if record.good is not None:
        record.save()
    return CommandError(
        f"the training diverged: the loss before epoch {record.diverged} is not a number{kept}. Give a smaller --lr "
        f"than {chosen.lr:g}",
        FAILURE,
    )
