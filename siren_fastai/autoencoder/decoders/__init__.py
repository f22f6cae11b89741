"""Decoders: a code and positions become colours. One file per architecture, torch only."""
