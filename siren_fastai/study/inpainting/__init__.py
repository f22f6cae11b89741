"""The experiment "inpaint": its settings, images, networks, training and scores."""
