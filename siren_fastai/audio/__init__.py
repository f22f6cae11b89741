"""Sounds: wave files to arrays and back, and their spectrograms."""
