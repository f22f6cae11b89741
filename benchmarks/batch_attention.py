"""How far one image's reconstruction moves when another image of its batch changes: the note's transformer and ours.

python benchmarks/batch_attention.py [--batch 8]

Note 002 gives PyTorch's transformer one vector per image, (n, features), which it reads as one sequence of n tokens:
attention runs across the batch. `transformer_autoencoder` has the patches of one image as its tokens. Both are
untrained and in eval mode, so that dropout plays no part. "moves" is the largest change of a value of sample 0 when
sample 5 is replaced, "alone" its largest change when it is reconstructed without the others.
"""

import argparse

import torch
from report import report
from torch import nn

from siren_fastai.autoencoder.transformer import transformer_autoencoder

SHAPE, CODE, SEEDS = (1, 28, 28), 78, (0, 1, 2)


class NotesReading(nn.Module):
    """One vector per image into transformer layers that expect (tokens, features)."""

    def __init__(self, patch=4, hidden=64, heads=4, layers=2):
        super().__init__()
        side = SHAPE[1] // patch
        self.patches = nn.Conv2d(SHAPE[0], hidden, patch, patch)
        self.vector = nn.Linear(hidden * side * side, hidden)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(hidden, heads, hidden), layers, enable_nested_tensor=False
        )
        self.code, self.from_code = nn.Linear(hidden, CODE), nn.Linear(CODE, hidden)
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(hidden, heads, hidden), layers)
        self.tokens = nn.Linear(hidden, hidden * side * side)
        self.pixels = nn.Sequential(
            nn.Unflatten(1, (hidden, side, side)), nn.ConvTranspose2d(hidden, SHAPE[0], patch, patch)
        )

    def forward(self, images):
        code = self.code(self.encoder(self.vector(self.patches(images).flatten(1))))
        y = self.from_code(code)
        return self.pixels(self.tokens(self.decoder(y, y)))


def ours():
    return transformer_autoencoder(SHAPE, CODE, patch_size=4, stride=4, num_layers=2, num_hidden=64, num_heads=4)


@torch.no_grad()
def changes(make, seed: int, batch: int) -> tuple[float, float]:
    torch.manual_seed(seed)
    model, images = make().eval(), torch.rand(batch, *SHAPE)
    others = images.clone()
    others[5] = torch.rand(SHAPE)
    before = model(images)[0]
    return tuple((before - model(x)[0]).abs().max().item() for x in (others, images[:1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    rows = []
    for name, make in (("one vector per image, as in the note", NotesReading), ("patches as tokens, ours", ours)):
        moves, alone = zip(*(changes(make, seed, options.batch) for seed in SEEDS), strict=True)
        rows.append({"reading": name, "moves, least": min(moves), "moves, most": max(moves), "alone, most": max(alone)})
    report("batch_attention", rows, dict(seeds=list(SEEDS), batch=options.batch))


if __name__ == "__main__":
    main()
