"""Checks of what goes into encoders and decoders, with errors in the words of images and codes."""

from collections.abc import Sequence

from torch import Tensor

__all__ = ["check_code", "check_count", "check_image_shape", "check_images", "check_positions", "check_size"]

MAX_PIXELS = 2**26  # of one decoded image: 8192 x 8192, 0.75 GiB of RGB in float32
COLORS = {1: "gray", 3: "RGB"}


def check_image_shape(
    shape: Sequence[int],  # (channels, height, width)
) -> tuple[int, int, int]:
    """Return `shape` as a tuple. Raises: ValueError unless it is three integers of 1 or more."""
    if isinstance(shape, str) or not isinstance(shape, Sequence) or len(shape) != 3 or not _are_counts(shape):
        raise ValueError(f"`shape` must be (channels, height, width) of at least 1 each, got {shape!r}")
    check_size(shape[1:])
    return tuple(shape)


def check_size(
    shape: Sequence[int],  # (height, width)
) -> tuple[int, int]:
    """Return `shape` as a tuple.

    Raises: ValueError unless it is two integers of 1 or more, and at most 2^26 pixels.
    """
    if isinstance(shape, str) or not isinstance(shape, Sequence) or len(shape) != 2 or not _are_counts(shape):
        raise ValueError(f"an image's `shape` must be (height, width) of at least 1 pixel each, got {shape!r}")
    if shape[0] * shape[1] > MAX_PIXELS:
        raise ValueError(
            f"an image of {shape[0]} x {shape[1]} pixels is too large: at most {MAX_PIXELS} at once, more with `at`"
        )
    return tuple(shape)


def check_images(
    images: Tensor,  # (n, channels, height, width)
    shape: tuple[int, int, int],  # (channels, height, width) that the encoder was built for
) -> Tensor:  # `images`
    """Raises: TypeError unless `images` are floats; ValueError unless they are a batch of images of `shape`."""
    if not isinstance(images, Tensor) or not images.is_floating_point():
        kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"images must be a float tensor in [0, 1], got {kind}; divide uint8 images by 255")
    if images.dim() != 4:
        raise ValueError(f"images must be (n, channels, height, width), got shape {tuple(images.shape)}")
    (channels, *size), found = shape, images.shape[1]
    if found != channels:
        raise ValueError(
            f"the encoder was built for {_channels(channels)}, got images with {_channels(found)}: convert the images, "
            f"or build the encoder with shape=({found}, {size[0]}, {size[1]})"
        )
    if list(images.shape[2:]) != size:
        raise ValueError(
            f"the encoder was built for images of {size[0]} x {size[1]} pixels, got {images.shape[2]} x "
            f"{images.shape[3]}: resize or crop them, or build it for that shape"
        )
    return images


def check_code(
    code: Tensor,  # (n, code_size) or (code_size,)
    code_size: int,  # values per code that the decoder was built for
) -> Tensor:  # (n, code_size)
    """Return `code` as a batch. Raises: TypeError unless it is a float tensor; ValueError for another size."""
    if not isinstance(code, Tensor) or not code.is_floating_point():
        raise TypeError(f"`code` must be a float tensor, got {getattr(code, 'dtype', type(code).__name__)}")
    batch = code[None] if code.dim() == 1 else code
    if batch.dim() != 2 or batch.shape[1] != code_size or len(batch) == 0:
        raise ValueError(f"`code` must be (n, {code_size}) or ({code_size},), got shape {tuple(code.shape)}")
    return batch


def check_positions(
    positions: Tensor,  # (p, 2) or (n, p, 2)
    n: int,  # codes
) -> Tensor:  # `positions`
    """Raises: ValueError unless `positions` are (y, x) pairs, for all codes or for each of `n`."""
    if not isinstance(positions, Tensor) or positions.dim() not in (2, 3) or positions.shape[-1] != 2:
        found = tuple(positions.shape) if isinstance(positions, Tensor) else type(positions).__name__
        raise ValueError(f"`positions` must be (p, 2) or (n, p, 2) tensors of (y, x) in [-1, 1], got {found}")
    if positions.dim() == 3 and len(positions) != n:
        raise ValueError(f"`positions` are for {len(positions)} codes, but there are {n}")
    return positions


def check_count(
    name: str,  # the argument's name
    value: int,
) -> int:  # `value`
    """Raises: ValueError unless `value` is an integer of 1 or more."""
    if not _is_count(value):
        raise ValueError(f"`{name}` must be an integer of 1 or more, got {value!r}")
    return value


def _is_count(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _are_counts(values: Sequence) -> bool:
    return all(_is_count(value) for value in values)


def _channels(n: int) -> str:
    return f"{n} channel{'s' * (n != 1)}" + (f" ({COLORS[n]})" if n in COLORS else "")
