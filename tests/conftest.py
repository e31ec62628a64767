"""What every test stands on: hypothesis profiles, the real data sets, and nothing written outside temporary folders.

PATRON_HYPOTHESIS_PROFILE   ``fast`` (20 examples, the default) or ``thorough`` (500)
PATRON_DATA                 the folder of the real data sets; tests that need it skip without it
PATRON_TEST_POSTGRES        URL of a PostgreSQL database for tests of the store, which skip without it
PATRON_REQUIRE_REAL         1: a test that would skip for want of one of these fails instead
"""

import os
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("fast", max_examples=20, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=500, deadline=None)

ROOT = Path(__file__).parents[1]
# Where MLflow writes when nobody tells it otherwise.
STRAYS = [ROOT / name for name in ("mlruns", "mlartifacts", "mlflow.db")]
QUIET = {
    "MPLBACKEND": "Agg",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "OMP_NUM_THREADS": "1",  # one test worker a processor: threads of LightGBM would wait for each other
}


def pytest_configure():
    """Before any module of ours is imported, which collecting doctests does."""
    os.environ.update(QUIET)
    hypothesis.settings.load_profile(os.environ.get("PATRON_HYPOTHESIS_PROFILE", "fast"))


def missing():
    """Variables of real parts that have to be there, and are not."""
    required = os.environ.get("PATRON_REQUIRE_REAL") == "1"
    return [name for name in ("PATRON_DATA", "PATRON_TEST_POSTGRES") if required and not os.environ.get(name)]


def without_excuse(report):
    """The report, failed if it is a skip for want of a real part that had to be there."""
    if report.skipped and any(name in str(report.longrepr) for name in missing()):
        report.outcome = "failed"
        report.longrepr = f"PATRON_REQUIRE_REAL is 1, and this was skipped: {report.longrepr[-1]}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    return without_excuse((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return without_excuse((yield))


@pytest.fixture(scope="session")
def data_dir():
    """The folder of the real data sets, named by PATRON_DATA."""
    if not (named := os.environ.get("PATRON_DATA")):
        pytest.skip("PATRON_DATA is not set: it names the folder of the real data sets")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"PATRON_DATA names {folder}, which is no folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_stores(tmp_path_factory):
    """Runs, models and Bentos go into a folder of this session; a store of the surroundings is out of reach."""
    folder = tmp_path_factory.mktemp("stores")
    before = [path for path in STRAYS if path.exists()]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        environment.setenv("BENTOML_HOME", str(folder / "bentoml"))
        for name in ("MLFLOW_REGISTRY_URI", "PATRON_STORE"):
            environment.delenv(name, raising=False)
        yield
    strays = [path.name for path in STRAYS if path.exists() and path not in before]
    assert not strays, (
        f"tests left {strays} in the repository: give the run or experiment a folder under tmp_path"
    )
