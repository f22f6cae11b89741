"""The command line, `siren-fastai`: one file per command in `commands/`."""
