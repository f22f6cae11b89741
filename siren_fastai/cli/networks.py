"""The network that the options of `fit` ask for."""

from siren_fastai.cli.options import Chosen
from siren_fastai.data import PixelDataLoaders
from siren_fastai.init import apply_init_
from siren_fastai.learner import fast_model
from siren_fastai.models.field import Field, field_model, siren_field

__all__ = ["build_network"]

SIRENS = ("sine", "siren")
SIZES = ("hidden_features", "hidden_layers", "omega_0")


def build_network(chosen: Chosen, dls: PixelDataLoaders) -> Field:
    """A `Field` for the data of `dls`, drawn from the random state.

    The fast preset's SIREN is the library's own, `fast_model`, or has the widths given and the scheme "fast"; all else
    is `field_model` as published. `--scheme` draws the sine layers anew.
    Raises: ValueError for an unknown scheme, or a network without sine layers.
    """
    data, fast_siren = dls.train_ds, chosen.preset == "fast" and chosen.model_type in SIRENS
    if fast_siren and not any(chosen.given(name) for name in SIZES):
        model = siren_field(fast_model(dls), chosen.model_type)
    else:
        model = field_model(
            chosen.model_type,
            n_out=data.n_channels,
            hidden_features=chosen.hidden_features,
            hidden_layers=chosen.hidden_layers,
            omega_0=chosen.omega_0,
            sidelength=list(data.shape),
        )
        if fast_siren and chosen.scheme is None:
            apply_init_(model, "fast")
    return model if chosen.scheme is None else apply_init_(model, chosen.scheme)
