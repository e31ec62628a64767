"""The rule layer: segments."""
