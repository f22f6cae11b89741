"""What a run of a study does: the plan, groups of experiments, one experiment, and its folder."""
