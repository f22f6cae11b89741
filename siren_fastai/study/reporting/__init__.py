"""What is kept of a finished study, and its claims in new words."""
