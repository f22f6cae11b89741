"""The public names for notebooks: `from siren_fastai.all import *`. Every one is listed; none hides one of fastai's."""

from fastai.learner import Learner, load_learner
from fastai.torch_core import set_seed

from siren_fastai.analysis.history import read_history
from siren_fastai.audio.figures import show_sounds, spectrogram
from siren_fastai.audio.files import load_audio, save_audio
from siren_fastai.autoencoder.decoders.fields import FieldsDecoder
from siren_fastai.autoencoder.decoders.hypernetwork import HypernetworkDecoder
from siren_fastai.autoencoder.decoders.local import LocalCodesDecoder
from siren_fastai.autoencoder.decoders.manifold import ImageManifoldDecoder
from siren_fastai.autoencoder.decoders.modulated import ModulatedSirenDecoder
from siren_fastai.autoencoder.decoders.patches import PatchDecoder
from siren_fastai.autoencoder.encoders.conv import EncoderConv2d
from siren_fastai.autoencoder.encoders.dalle import DalleEncoder
from siren_fastai.autoencoder.encoders.fields import FieldsEncoder
from siren_fastai.autoencoder.encoders.patches import PatchEncoder
from siren_fastai.autoencoder.encoders.resnet import ResNetEncoder
from siren_fastai.autoencoder.fields_start import fields_autoencoder
from siren_fastai.autoencoder.learner import AutoencoderLearner, autoencoder_learner
from siren_fastai.autoencoder.model import Autoencoder
from siren_fastai.autoencoder.pca import fit_pca
from siren_fastai.autoencoder.transformer import transformer_autoencoder
from siren_fastai.callbacks.apply_init import ApplyInit
from siren_fastai.callbacks.cluster_features import ClusterFeatures
from siren_fastai.callbacks.code_spread import CodeSpread
from siren_fastai.callbacks.count_samples import CountSamples
from siren_fastai.callbacks.curriculum import Curriculum
from siren_fastai.callbacks.diagnose import Diagnose, overfit_batch
from siren_fastai.callbacks.freeze_layers import FreezeLayers
from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.callbacks.quantize_aware import QuantizeAware
from siren_fastai.callbacks.sample_positions import SamplePositions
from siren_fastai.callbacks.save_picture_at import USABILITY_LEVELS, SavePictureAt
from siren_fastai.callbacks.scale_widths import ScaleWidths
from siren_fastai.callbacks.smooth_hole import SmoothHole
from siren_fastai.callbacks.stop_at import StopAt
from siren_fastai.callbacks.training_wheels import TrainingWheels
from siren_fastai.callbacks.watch_fit import WatchFit
from siren_fastai.callbacks.worst_samples import worst_samples
from siren_fastai.clusters import kmeans_labels, label_entropy, label_features
from siren_fastai.codec.clusters import Clusters
from siren_fastai.codec.compress import Compressed, compress
from siren_fastai.coords import append_features, grid_coords, pixel_order
from siren_fastai.coreset import coreset
from siren_fastai.data import (
    GradientDataLoaders,
    IndexedDL,
    PictureDataLoaders,
    PictureDataset,
    PictureDL,
    PixelDataLoaders,
    PixelDataset,
    PixelDL,
    digits_dataloaders,
    glyphs_dataloaders,
    kali_dataloaders,
    mixed_dataloaders,
    tile_dataloaders,
)
from siren_fastai.datasets.digits import digits28, glyphs28
from siren_fastai.datasets.kali import kali
from siren_fastai.datasets.kali_images import kali_images
from siren_fastai.datasets.patches import image_patches
from siren_fastai.datasets.split import FoldSplitter, group_folds
from siren_fastai.datasets.tiles import tile_images
from siren_fastai.default_model import fast_model
from siren_fastai.distances.data import SurfaceDataLoaders
from siren_fastai.distances.learner import DistanceLearner, distance_learner
from siren_fastai.distances.loss import DistanceLoss
from siren_fastai.distances.mesh import save_mesh, surface_mesh
from siren_fastai.distances.shapes import ball, extruded, glyph, polygon, surface_points, torus
from siren_fastai.error_maps import absolute_error, frequency_error, signed_error
from siren_fastai.figures import fit_figure, mosaic, show_pictures
from siren_fastai.fits.checkpoint import load_checkpoint, save_checkpoint
from siren_fastai.fits.fit import fit_image
from siren_fastai.fits.settings import FitSettings
from siren_fastai.fits.state import Checkpoint
from siren_fastai.freeze import freeze_, unfreeze_
from siren_fastai.gradient_learner import GradientLearner, ImagePSNR, gradient_learner
from siren_fastai.gradients import gradient_axes, mix_gradients, signal_gradients
from siren_fastai.images import add_mean, load_image, save_image, subtract_mean, to_uint8
from siren_fastai.init import apply_init_, center_output_
from siren_fastai.inpainting.baselines import biharmonic_fill, harmonic_fill, mean_fill, nearest_fill, ray_fill
from siren_fastai.inpainting.convolutions import GatedConv2d, PartialConv2d, receptive_field
from siren_fastai.inpainting.coordinates import fill_with_siren, siren_filling
from siren_fastai.inpainting.data import InpaintingDataset, inpainting_dataloaders
from siren_fastai.inpainting.files import load_network, save_network
from siren_fastai.inpainting.fill import fill_image
from siren_fastai.inpainting.frechet import frechet_distance, texture_features
from siren_fastai.inpainting.learner import InpaintingLearner, inpainting_learner
from siren_fastai.inpainting.losses import HoleDecibels, InpaintingLoss
from siren_fastai.inpainting.masks import Rectangles, composite, load_mask
from siren_fastai.inpainting.metrics import FilledSSIM, HoleL1, HolePSNR, KnownL1, KnownPSNR
from siren_fastai.inpainting.networks import InpaintingNetwork, ae, ae_fc, inpainting_network, unet
from siren_fastai.inpainting.scores import hole_l1, hole_psnr, pooled_psnr
from siren_fastai.inpainting.settings import NetworkSettings
from siren_fastai.inpainting.strokes import Strokes
from siren_fastai.inpainting.unfamiliar import Familiar, auroc, hidden_errors
from siren_fastai.inpainting.views import Views
from siren_fastai.label_maps import pack_labels, unpack_labels
from siren_fastai.learner import PixelLearner, siren_learner
from siren_fastai.metrics import PSNR, SNR, SSIM
from siren_fastai.models.derivatives import GradientOf, LaplacianOf
from siren_fastai.models.field import field_model
from siren_fastai.models.fold import fold_, unfold_
from siren_fastai.models.siren import Sine, SineLayer, siren_layer, siren_model
from siren_fastai.models.stack import Stack, stack_models, unstack_models
from siren_fastai.models.widths import scale_widths
from siren_fastai.optimizers import (
    OPTIMIZERS,
    adam,
    adamw,
    fast_adam,
    learned_sgd,
    muon,
    ranger,
    ranger_adabelief,
    soap,
)
from siren_fastai.page.coded import save_coded_page
from siren_fastai.page.save import save_page
from siren_fastai.quality import bits_per_pixel, psnr, snr, ssim
from siren_fastai.render import render
from siren_fastai.schemes import HALF_OMEGA, SCHEMES, UNIT_GAIN, Rule, Scheme, describe_schemes
from siren_fastai.sirn.decode import decompress
from siren_fastai.spread import code_spread
from siren_fastai.stacks.history import StackHistory
from siren_fastai.stacks.learner import StackLearner, stack_learner
from siren_fastai.starts.files import load_start, save_start
from siren_fastai.starts.learning import learn_start
from siren_fastai.starts.start import Start, apply_start_
from siren_fastai.study.experiment import Experiment
from siren_fastai.study.figures import study_figures
from siren_fastai.study.matrix import read_matrix
from siren_fastai.study.results import read_histories, read_results, summary
from siren_fastai.study.runner import run_study
from siren_fastai.study.study import load_study, study_names
from siren_fastai.study.verdicts import verdict

__all__ = [
    "HALF_OMEGA",
    "OPTIMIZERS",
    "PSNR",
    "SCHEMES",
    "SNR",
    "SSIM",
    "UNIT_GAIN",
    "USABILITY_LEVELS",
    "ApplyInit",
    "Autoencoder",
    "AutoencoderLearner",
    "Checkpoint",
    "ClusterFeatures",
    "Clusters",
    "CodeSpread",
    "Compressed",
    "CountSamples",
    "Curriculum",
    "DalleEncoder",
    "Diagnose",
    "EncoderConv2d",
    "Experiment",
    "Familiar",
    "FieldsDecoder",
    "FieldsEncoder",
    "FilledSSIM",
    "FitSettings",
    "FoldSplitter",
    "FreezeLayers",
    "GatedConv2d",
    "GradientDataLoaders",
    "GradientLearner",
    "GradientOf",
    "HoleDecibels",
    "HoleL1",
    "HolePSNR",
    "HypernetworkDecoder",
    "ImageManifoldDecoder",
    "ImagePSNR",
    "IndexedDL",
    "InpaintingDataset",
    "InpaintingLearner",
    "InpaintingLoss",
    "InpaintingNetwork",
    "KnownL1",
    "KnownPSNR",
    "LaplacianOf",
    "Learner",
    "LocalCodesDecoder",
    "MetricHistory",
    "ModulatedSirenDecoder",
    "NetworkSettings",
    "PartialConv2d",
    "PatchDecoder",
    "PatchEncoder",
    "PictureDL",
    "PictureDataLoaders",
    "PictureDataset",
    "PixelDL",
    "PixelDataLoaders",
    "PixelDataset",
    "PixelLearner",
    "QuantizeAware",
    "Rectangles",
    "ResNetEncoder",
    "Rule",
    "SamplePositions",
    "SavePictureAt",
    "ScaleWidths",
    "Scheme",
    "Sine",
    "SineLayer",
    "SmoothHole",
    "Stack",
    "StackHistory",
    "StackLearner",
    "Start",
    "StopAt",
    "Strokes",
    "TrainingWheels",
    "Views",
    "WatchFit",
    "absolute_error",
    "adam",
    "adamw",
    "add_mean",
    "ae",
    "ae_fc",
    "append_features",
    "apply_init_",
    "apply_start_",
    "auroc",
    "autoencoder_learner",
    "biharmonic_fill",
    "bits_per_pixel",
    "center_output_",
    "code_spread",
    "composite",
    "compress",
    "coreset",
    "decompress",
    "describe_schemes",
    "digits28",
    "digits_dataloaders",
    "fast_adam",
    "fast_model",
    "field_model",
    "fields_autoencoder",
    "fill_image",
    "fill_with_siren",
    "fit_figure",
    "fit_image",
    "fit_pca",
    "fold_",
    "frechet_distance",
    "freeze_",
    "frequency_error",
    "gradient_axes",
    "gradient_learner",
    "glyphs28",
    "glyphs_dataloaders",
    "grid_coords",
    "group_folds",
    "harmonic_fill",
    "hidden_errors",
    "hole_l1",
    "hole_psnr",
    "image_patches",
    "inpainting_dataloaders",
    "inpainting_learner",
    "inpainting_network",
    "kali",
    "kali_dataloaders",
    "kali_images",
    "kmeans_labels",
    "label_entropy",
    "label_features",
    "learn_start",
    "learned_sgd",
    "load_audio",
    "load_checkpoint",
    "load_image",
    "load_learner",
    "load_mask",
    "load_network",
    "load_start",
    "load_study",
    "mean_fill",
    "mix_gradients",
    "mixed_dataloaders",
    "mosaic",
    "muon",
    "nearest_fill",
    "overfit_batch",
    "pack_labels",
    "pixel_order",
    "pooled_psnr",
    "psnr",
    "ranger",
    "ranger_adabelief",
    "ray_fill",
    "read_histories",
    "read_history",
    "read_matrix",
    "read_results",
    "receptive_field",
    "render",
    "run_study",
    "save_audio",
    "save_checkpoint",
    "save_coded_page",
    "save_image",
    "save_network",
    "save_page",
    "save_start",
    "scale_widths",
    "set_seed",
    "show_pictures",
    "show_sounds",
    "signal_gradients",
    "signed_error",
    "siren_filling",
    "siren_layer",
    "siren_learner",
    "siren_model",
    "snr",
    "soap",
    "spectrogram",
    "ssim",
    "stack_learner",
    "stack_models",
    "study_figures",
    "study_names",
    "subtract_mean",
    "summary",
    "texture_features",
    "tile_dataloaders",
    "tile_images",
    "to_uint8",
    "transformer_autoencoder",
    "unet",
    "unfold_",
    "unfreeze_",
    "unpack_labels",
    "unstack_models",
    "verdict",
    "worst_samples",
    "SurfaceDataLoaders",
    "DistanceLearner",
    "distance_learner",
    "DistanceLoss",
    "save_mesh",
    "surface_mesh",
    "ball",
    "extruded",
    "glyph",
    "polygon",
    "surface_points",
    "torus",
]
