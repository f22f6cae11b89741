"""The experiment "autoencode": its settings, data, networks, training and scores."""
