"""Coordinate networks (SIREN and its kin) inside fastai. In a notebook: `from siren_fastai.all import *`."""

__version__ = "0.1.0"
