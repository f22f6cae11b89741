"""The figures of a study as data, and their panels."""
