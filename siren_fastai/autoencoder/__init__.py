"""Autoencoders whose decoder is a coordinate network: position + code -> colour."""
