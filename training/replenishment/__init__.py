"""What customers will need again, and when."""
