"""A Python of its own for Featuretools, which needs an older pandas than Patron: made on request, kept in ``out``."""

import subprocess
import sys
from pathlib import Path

__all__ = ["made", "versions"]

FOLDER = Path(__file__).parents[2] / "out" / "featuretools"
REQUIREMENTS = ("featuretools>=1.31", "pandas>=2.3,<3", "pyarrow")
VERSIONS = "import featuretools, pandas; print(featuretools.__version__, pandas.__version__)"


def made(folder: Path = FOLDER) -> str:
    """Return the path of the Python, after making the environment where it is not there or not complete."""
    python = folder / "bin" / "python"
    if (
        not python.exists()
        or subprocess.run([python, "-c", VERSIONS], check=False, capture_output=True).returncode
    ):
        print(f"making an environment with Featuretools in {folder} (a minute or two)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
    return str(python)


def versions(python: str) -> dict[str, str]:
    """Return the versions of Featuretools and its pandas."""
    said = subprocess.run([python, "-c", VERSIONS], check=True, capture_output=True, text=True).stdout.split()
    return {"Featuretools": said[-2], "its pandas": said[-1]}
