"""``python -m serving.cli`` is the command, whether or not ``patron`` is on the path."""

from serving.cli.commands import main

if __name__ == "__main__":
    main()
