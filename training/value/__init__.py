"""What customers will spend."""
