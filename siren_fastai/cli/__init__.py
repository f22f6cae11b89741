"""The command line, `siren-fastai`: a file for each sub-command, and nothing that trains by itself."""
