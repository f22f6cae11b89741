"""Web pages of images: one file that holds a network and draws it at any zoom, in a browser, without the library."""
