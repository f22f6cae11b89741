"""`python -m siren_fastai.cli` is `siren-fastai`."""

import sys

from siren_fastai.cli.main import main

sys.exit(main())
