"""The codec: a fitted network quantised, entropy-coded and written as one small file, and decoded from it."""
