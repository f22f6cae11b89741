"""Encoders: an image becomes a short code. One file per architecture, torch only."""
