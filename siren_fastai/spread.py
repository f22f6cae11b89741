"""How far codes are from a given spread: a penalty that keeps them near zero, and apart from each other."""

from torch import Tensor

__all__ = ["TARGET_STD", "code_spread"]

TARGET_STD = 0.5  # of each value of the code over a batch, in the code's unit


def code_spread(
    codes: Tensor,  # (n, ...): one code per image, flattened
    target_std: float = TARGET_STD,  # standard deviation that the values should have over the batch, on average
    target_mean: float = 0.0,  # mean of all values
) -> tuple[Tensor, Tensor]:  # two scalars, at least 0
    """Return how far the standard deviation and the mean of the codes are from what they should be.

    |target_std - mean_j std_i(z_ij)| over codes i and their values j, with the unbiased standard deviation, and
    |target_mean - mean(z)|. A single code has no standard deviation: the first part is then 0, without gradient.
    Raises: TypeError unless the codes are floats; ValueError unless there are codes (n, ...).
    Source: note 002, the loss of its encoder.
    """
    if not isinstance(codes, Tensor) or not codes.is_floating_point():
        raise TypeError(f"`codes` must be a float tensor, got {getattr(codes, 'dtype', type(codes).__name__)}")
    if codes.dim() < 2 or not codes.numel():
        raise ValueError(f"`codes` must be (n, values per code), with one code or more, got {tuple(codes.shape)}")
    codes = codes.flatten(1).float()
    std_part = (target_std - codes.std(0).mean()).abs() if len(codes) > 1 else codes.new_zeros(())
    return std_part, (target_mean - codes.mean()).abs()
