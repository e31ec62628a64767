"""The one command, ``patron``. It may use every room; what is heavy is imported by the commands that need it."""

from serving.cli.commands import app, main

__all__ = ["app", "main"]
