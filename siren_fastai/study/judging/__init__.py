"""What the pairs of a claim show: claims as data, pairs, evidence, the best rate of each side."""
