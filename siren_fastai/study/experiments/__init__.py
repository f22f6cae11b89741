"""The experiments that a study can name, one per file: each a function of plain settings."""
