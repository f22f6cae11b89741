"""One fit: typed settings in, a folder out."""
