"""Fitting many networks of one shape in one fastai Learner: their optimiser, history, learner and files.

fits = []
for seed in range(3):
    set_seed(seed, reproducible=True)
    dls = PixelDataLoaders.from_image("cat.png", size=64)
    fits.append((dls, fast_model(dls, [64, 64, 64])))
learn = stack_learner(*zip(*fits), lr=[5e-4, 1e-3, 2e-3])
learn.fit_fast(20)
learn.stack_history.to_frame()           # a row per network and epoch
learn.render(1)                          # the image of one of them
learn.single(1).validate()               # one of them, as an ordinary learner

dls = PixelDataLoaders.from_images("photos", size=64)  # a folder: one network for each image
learn = stack_learner(dls, [2, 64, 64, 64, 3])
learn.fit_fast(20)
learn.show_results()                     # targets above reconstructions
learn.save_fields("fields")
"""
