"""Patches that cover an image: how many there are, and whether they rebuild all of it."""

__all__ = ["check_tiling"]


def check_tiling(
    size: int,  # of the image along one axis, in pixels
    patch: int,  # of a patch, in pixels
    stride: int,  # from one patch to the next, in pixels
) -> int:
    """Return how many patches of `patch` pixels, `stride` apart, cover `size` pixels; convolutions read such patches.

    Raises: ValueError if the patches leave gaps, or if they end before the image does: a transposed convolution with
    the same numbers would rebuild a smaller one.
    """
    if min(size, patch, stride) < 1 or patch > size:
        raise ValueError(
            f"`patch` must be from 1 to the image's {size} pixels and `stride` 1 or more, got {patch}, {stride}"
        )
    if stride > patch:
        raise ValueError(f"patches of {patch} pixels with stride {stride} leave gaps; `stride` must be at most {patch}")
    n = (size - patch) // stride + 1
    covered = patch + (n - 1) * stride
    if covered != size:
        raise ValueError(
            f"patches of {patch} pixels with stride {stride} rebuild {covered} of {size} pixels; choose a patch and a "
            f"stride so that {size} - patch is a multiple of the stride"
        )
    return n
