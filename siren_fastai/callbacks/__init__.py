"""Callbacks for fastai, one per file, each a shell over a function that needs no Learner."""
