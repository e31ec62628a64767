"""The documents are true: commands, options, features, files and variables they name exist, and none is missing."""

import re
from pathlib import Path

import pytest
import typer

import features
from features.catalogue import FEATURES
from features.sources import SOURCES
from serving.api import FACTS
from serving.cli import app
from serving.routes import create_app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app).commands


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_in_the_readme(name):
    assert f"`patron {name}" in README


@pytest.mark.parametrize("line", sorted(set(re.findall(r"patron +([a-z]+ [^`\n]*--[^`\n]*)", README))))
def test_every_command_line_of_the_readme_parses(line):
    name, *words = line.split()
    known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    options = {word for word in words if word.startswith("--")}
    assert options - {"--help"} <= known


def test_the_readme_names_no_command_that_is_not_there():
    assert set(re.findall(r"patron ([a-z]+)", README)) <= set(COMMANDS)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_every_feature_is_in_the_readme(feature):
    pattern = f"{feature.measure.name}_{{w}}d" if len(feature.measure.windows) > 1 else feature.name
    assert f"`{pattern}`" in README


def test_every_feature_of_the_readme_is_in_the_catalogue():
    section = README.split("Features ({w}d")[1]
    named = set(re.findall(r"`([a-z_0-9{}]+)`", section)) - {"_all"}
    stems = {f"{feature.measure.name}_{{w}}d" for feature in FEATURES if len(feature.measure.windows) > 1}
    assert named <= stems | {feature.name for feature in FEATURES}


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_every_source_is_in_the_readme(source):
    assert f"`{source}`" in README


def test_every_endpoint_is_in_the_readme_and_none_else():
    served = {path.replace("{customer_id}", "{id}") for path in create_app().openapi()["paths"]}
    assert set(re.findall(r"`(?:GET |POST )?/v1(/[a-z]+(?:/\{id\})?)`", README)) == served
    assert {"/orders", *(f"/{name}" for name in FACTS)} <= served


def test_every_variable_of_the_rooms_is_in_the_readme_and_none_else():
    sources = [
        path.read_text(encoding="utf-8")
        for room in ("features", "training", "serving")
        for path in (ROOT / room).rglob("*.py")
    ]
    read = {
        name
        for source in sources
        for name in re.findall(r"environ(?:\.get\(|\[)\"((?:PATRON|MLFLOW_TRACKING)_\w+)", source)
    }
    tables = set(re.findall(r"^\| `((?:PATRON|MLFLOW)_\w+)`", README, re.MULTILINE))
    assert read <= tables
    assert tables <= read | {"PATRON_DATA", "PATRON_TEST_POSTGRES"}


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_every_link_and_file_named_exists(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("http")]
    files = re.findall(r"`((?:features|training|serving|experiments)/[\w/.]+)`", text)
    assert links or files
    assert [name for name in links + files if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))))
def test_every_make_target_of_the_readme_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_number_of_features_in_the_changelog_is_true():
    assert f"{len(FEATURES)} point-in-time features" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_door_shows_exactly_what_it_promises():
    assert [name for name in features.__all__ if not hasattr(features, name)] == []
