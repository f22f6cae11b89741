"""Fitting many networks of one shape in one fastai Learner: their data, optimiser, history and learner."""
