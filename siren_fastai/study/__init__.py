"""Studies: an experiment for every combination of a matrix, run in processes, with tables, figures and verdicts."""
