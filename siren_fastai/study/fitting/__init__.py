"""One fit of an image from plain settings: what the experiments of studies on memorising images share."""
