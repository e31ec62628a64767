"""The repository's frame: one lock, one version of each tool, fixed folders, and a help that tells the truth."""

import ast
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNNING = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
DEVELOPING = [Requirement(line) for line in PROJECT["dependency-groups"]["dev"]]
LOCK = [
    line
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if line and not line.startswith("#")
]
FOLDERS = {".ci", "experiments", "features", "notebooks", "serving", "tests", "training"}
# In parts, so that this file does not hold what it looks for.
NEVER_NAMED = [
    "py" + "pi.org",
    "python" + "hosted.org",
    "index" + "-url",
    "find" + "-links",
    "registry.npm" + "js",
]


def pins():
    return {
        canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in LOCK)
    }


@pytest.fixture(scope="module")
def kept_files():
    """Files that git keeps, and new ones that it would."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("this is no git checkout")
    command = [
        "git",
        "-c",
        "safe.directory=*",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_the_lock_holds_plain_pins_only():
    pin = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][A-Za-z0-9.]*")
    assert [line for line in LOCK if not pin.fullmatch(line)] == []


def test_the_lock_names_each_package_once_and_says_how_to_make_it_anew():
    assert len(pins()) == len(LOCK)
    assert "`make lock`" in (ROOT / "requirements.lock").read_text().splitlines()[0]


@pytest.mark.parametrize("needed", RUNNING + DEVELOPING, ids=str)
def test_the_lock_holds_every_dependency_inside_its_bounds(needed):
    assert needed.specifier.contains(pins()[canonicalize_name(needed.name)])


@pytest.mark.parametrize("needed", RUNNING + DEVELOPING, ids=str)
def test_a_dependency_has_a_lower_bound_and_its_version_stands_in_the_lock_alone(needed):
    assert {clause.operator for clause in needed.specifier} == {">="}


@pytest.mark.parametrize(
    ("name", "oldest"), [("bentoml", "1.4"), ("mlflow", "3"), ("pandas", "3"), ("duckdb", "2")]
)
def test_no_resolver_fell_back_to_an_old_release(name, oldest):
    assert pins()[name] >= Version(oldest)


def test_the_licence_is_apache_2():
    text = (ROOT / "LICENSE").read_text()
    assert re.match(r"\s*Apache License\s+Version 2\.0, January 2004\n", text)
    assert re.findall(r"^   (\d)\. ", text, flags=re.MULTILINE) == list("123456789")
    assert re.search(r"^   Copyright \d{4} The Patron authors$", text, flags=re.MULTILINE)
    assert PROJECT["project"]["license"] == "Apache-2.0"


def test_hooks_are_tools_of_our_own_environment():
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    assert {hook["language"] for hook in repos[0]["hooks"]} == {"system"}
    assert not any("additional_dependencies" in hook for hook in repos[0]["hooks"])


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_help_names_every_command_in_one_line_and_is_what_make_does_by_default():
    shown = [
        subprocess.run(["make", *asked], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for asked in (["help"], [])
    ]
    assert shown[0] == shown[1]
    described = dict(re.findall(r"^make (\w+) +(\S.*)$", shown[0], flags=re.MULTILINE))
    assert described.keys() == {"help", "demo", "test", "lint", "serve", "mlflow", "bench", "lock"}


def test_every_folder_at_the_top_is_one_of_the_fixed_ones(kept_files):
    assert {path.parts[0] for path in kept_files if len(path.parts) > 1} <= FOLDERS


def test_no_file_names_a_registry(kept_files):
    found = {
        str(path): word
        for path in kept_files
        for word in NEVER_NAMED
        if word.encode() in (ROOT / path).read_bytes()
    }
    assert not found


ASKS_FOR_REAL_DATA = """
import pytest
{at_import}
def test_reads(data_dir): assert (data_dir / "marker").exists()
@pytest.mark.skip(reason="PATRON_DATA is not set: a skip of its own")
def test_skips(): pass
@pytest.mark.skip(reason="something else")
def test_skips_for_another_reason(): pass
"""
AT_IMPORT = 'pytest.skip("PATRON_DATA is not set", allow_module_level=True)'


@pytest.mark.parametrize(
    ("required", "has_data", "at_import", "outcomes"),
    [
        ("0", False, "", {"skipped": 3}),
        ("1", False, "", {"errors": 2, "skipped": 1}),
        ("1", True, "", {"passed": 1, "skipped": 2}),
        ("0", False, AT_IMPORT, {"skipped": 1}),
        ("1", False, AT_IMPORT, {"errors": 1}),
    ],
    ids=["not required", "required", "there", "at import", "at import, required"],
)
def test_want_of_real_data_is_a_skip_or_where_it_is_required_a_failure(
    tmp_path, required, has_data, at_import, outcomes
):
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "marker").touch()
    (tmp_path / "test_it.py").write_text(ASKS_FOR_REAL_DATA.format(at_import=at_import))
    surroundings = {
        name: value for name, value in os.environ.items() if not name.startswith(("PATRON_", "PYTEST_"))
    }
    surroundings |= {"PATRON_REQUIRE_REAL": required} | ({"PATRON_DATA": str(tmp_path)} if has_data else {})
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir=.", "."]
    closing = subprocess.run(
        command, cwd=tmp_path, env=surroundings, check=False, capture_output=True, text=True
    ).stdout.splitlines()[-1]
    counted = re.findall(r"(\d+) (passed|failed|skipped|error)", closing)
    assert {what.replace("error", "errors"): int(number) for number, what in counted} == outcomes


def test_the_packed_service_has_what_it_imports():
    """Every distribution that the service's own modules import is listed in bentofile.yaml."""
    listed = {
        re.split(r"[\[<>=]", name)[0].lower()
        for name in yaml.safe_load((ROOT / "bentofile.yaml").read_text(encoding="utf-8"))["python"][
            "packages"
        ]
    }
    listed |= {"bentoml", "starlette", "uvicorn", "pydantic-core"}  # what packs it, or pydantic, brings these
    code = "import sys, serving.service; print(*sorted(n for n in sys.modules if n.split('.')[0] in ('features', 'training', 'serving')))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    needed = set()
    for name in loaded:
        place = importlib.util.find_spec(name)
        if place and place.origin:
            tree = ast.parse(Path(place.origin).read_text(encoding="utf-8"))
            needed |= {
                alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
            }
            needed |= {
                node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
            }
    of = importlib.metadata.packages_distributions()
    tops = (
        {name.split(".")[0] for name in needed}
        - set(sys.stdlib_module_names)
        - {"features", "training", "serving"}
    )
    lacking = {top for top in tops if not {canonicalize_name(one) for one in of[top]} & listed}
    assert lacking == set()
    assert "numba" in tops
