"""The base of layers that have plain numbers, such as omega_0, besides their weights."""

from torch import nn

__all__ = ["NumberedLayer"]

KEY = "numbers"  # in a layer's entry of the state's metadata


class NumberedLayer(nn.Module):
    """A layer whose `numbers` are saved and restored with its state: the function depends on them as on its weights.

    They have no key of their own in `state_dict()`, so that its keys are the weights' alone. They are in its
    `_metadata`, where PyTorch keeps versions: `torch.save`, fastai's `learn.save` and `copy.deepcopy` keep it, but
    formats of tensors alone, such as safetensors, do not. A state without them leaves the layer's numbers as they are.
    """

    numbers: tuple[str, ...] = ()  # names of float attributes

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if hasattr(destination, "_metadata"):  # not if the caller gave a plain dict to fill
            destination._metadata[prefix[:-1]][KEY] = {name: getattr(self, name) for name in self.numbers}

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *args):
        for name, value in local_metadata.get(KEY, {}).items():
            if name in self.numbers:
                setattr(self, name, float(value))
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)
