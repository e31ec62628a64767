"""What customers will buy next."""
