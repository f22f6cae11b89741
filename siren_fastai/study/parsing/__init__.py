"""The text of a study file as values: YAML with lines, arithmetic, references, filters, bases, overrides."""
