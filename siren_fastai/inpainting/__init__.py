"""Filling holes in images.

Masks: `masks` (rectangles, files, the composite), `strokes`. Training data: `sources`, `views`, `dataset`, `data`.
Networks: `networks`, from `settings` and the parts `blocks`, `convolutions`, `prefill`, `rays`, `ray_input`; `files`.
Training: `losses`, `scores`, `metrics`, `learner`. Filling by a network: `fill`, `large`; without a training set:
`baselines`, and `coordinates` with its `windows` and `hole_fit`. Judging: `frechet`, `unfamiliar`.
"""
