"""Images that are generated or found in a folder: uint8 (n, c, h, w), and the group that each comes from."""
