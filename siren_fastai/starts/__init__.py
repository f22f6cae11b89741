"""Starts learned from a family of images: weights, and rates for them, from which a new image takes few steps.

start = learn_start(faces, siren_model([2, 32, 32, 32, 1]), family="faces")
save_start(start, "faces.safetensors")
learn = siren_learner(dls, model, cbs=ApplyInit("faces.safetensors"), opt_func=learned_sgd("faces.safetensors"))
learn.fit(3, 1.0)                        # three steps, if a batch is the whole image
"""
