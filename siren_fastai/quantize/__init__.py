"""Quantised weights: quantisers, training with them, their rate, their allocation, their entropy coding."""
