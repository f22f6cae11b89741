"""Fitting many networks of one shape in one fastai Learner: their data, optimiser, history and learner.

fits = []
for seed in range(3):
    set_seed(seed, reproducible=True)
    dls = PixelDataLoaders.from_image("cat.png", size=64)
    fits.append((dls, fast_model(dls, [64, 64, 64])))
learn = stack_learner(*zip(*fits), lr=[5e-4, 1e-3, 2e-3])
learn.fit_fast(20)
learn.stack_history.to_frame()           # a row per network and epoch
learn.single(1).render()                 # one of them, as an ordinary learner
"""
