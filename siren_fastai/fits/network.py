"""The network that the settings of a fit ask for."""

from siren_fastai.data import PixelDataLoaders
from siren_fastai.default_model import fast_model
from siren_fastai.fits.settings import FitSettings
from siren_fastai.init import apply_init_
from siren_fastai.models.field import Field, field_model, siren_field
from siren_fastai.names import SIREN_KINDS

__all__ = ["build_network"]


def build_network(
    settings: FitSettings,  # resolved
    dls: PixelDataLoaders,
) -> Field:
    """Return a network for the data of `dls`, drawn from the random state.

    The fast preset's SIREN is the library's own, `fast_model`; with an omega_0 of its own it is drawn by the scheme
    "fast". All else is `field_model` as published. `scheme` draws the sine layers again.
    Raises: ValueError for an unknown scheme, or a scheme for a network without sine layers.
    """
    data, fast_siren = dls.train_ds, settings.preset == "fast" and settings.kind in SIREN_KINDS
    if fast_siren and settings.omega_0 is None:
        hidden = [settings.hidden_features] * (settings.hidden_layers + 1)
        model = siren_field(fast_model(dls, hidden), settings.kind)
    else:
        model = field_model(
            settings.kind,
            n_out=data.n_channels,
            hidden_features=settings.hidden_features,
            hidden_layers=settings.hidden_layers,
            omega_0=settings.omega_0,
            sidelength=list(data.shape),
        )
        if fast_siren and settings.scheme is None:
            apply_init_(model, "fast")
    return model if settings.scheme is None else apply_init_(model, settings.scheme)
