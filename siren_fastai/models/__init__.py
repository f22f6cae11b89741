"""Coordinate networks, one file per family."""
