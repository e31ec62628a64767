"""How models are made and judged. Importing the room imports nothing heavy."""
