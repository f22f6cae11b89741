"""An image to a small file: the size of the network, its training, its quantisation, the file."""
