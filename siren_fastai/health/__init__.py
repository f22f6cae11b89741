"""How a training run is doing, and a copy of its state to go back to. Nothing here needs a Learner."""
