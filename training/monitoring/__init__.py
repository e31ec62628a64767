"""Whether the models are still right."""
