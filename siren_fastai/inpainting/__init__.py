"""Filling holes in images: masks, networks, losses, data, and filling by a coordinate network."""
