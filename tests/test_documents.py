"""The documents are true: commands, options, features, files and variables they name exist, and none is missing."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import typer

import features
from features.catalogue import FACTS, FEATURES, GROUPS
from features.operations import OPERATIONS
from features.page import page
from features.sources import SOURCES
from features.vocabulary import STREAMS
from serving.api import FACTS as KINDS
from serving.cli import app
from serving.routes import create_app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = (ROOT / "features" / "CATALOGUE.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app).commands
# "features list": a command of a command
NESTED = {
    f"{name} {inner}": of
    for name, command in COMMANDS.items()
    for inner, of in getattr(command, "commands", {}).items()
}


@pytest.mark.parametrize("name", sorted(COMMANDS | NESTED))
def test_every_command_is_in_the_readme(name):
    assert f"`patron {name}" in README


@pytest.mark.parametrize("line", sorted(set(re.findall(r"patron +([a-z]+ [^`\n]*--[^`\n]*)", README))))
def test_every_command_line_of_the_readme_parses(line):
    name, *words = line.split()
    command = NESTED.get(" ".join((name, *words[:1])), COMMANDS[name])
    known = {option for parameter in command.params for option in parameter.opts}
    options = {word for word in words if word.startswith("--")}
    assert options - {"--help"} <= known


def test_the_readme_names_no_command_that_is_not_there():
    assert set(re.findall(r"patron ([a-z]+)", README)) <= set(COMMANDS)


def test_the_catalogue_page_is_what_the_command_writes():
    assert page() == PAGE, "features have changed: write features/CATALOGUE.md anew with `make catalogue`"


def test_the_command_writes_the_page(tmp_path):
    room = shutil.copytree(
        ROOT / "features", tmp_path / "features", ignore=shutil.ignore_patterns("CATALOGUE.md")
    )
    subprocess.run(
        [sys.executable, "-m", "features.page"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        check=True,
    )
    assert (room / "CATALOGUE.md").read_text(encoding="utf-8") == PAGE


@pytest.mark.parametrize("feature", [*FEATURES, *FACTS], ids=lambda feature: feature.name)
def test_every_feature_and_fact_is_in_the_catalogue_page_under_its_group(feature):
    section = PAGE.split(f"\n## {feature.group}\n")[1].split("\n## ")[0]
    row = (f"`{feature.name}`", feature.measure.unit, feature.type, feature.empty, feature.description)
    assert section.count(f"| {' | '.join(row)} |\n") == 1


def test_every_group_of_the_catalogue_page_has_its_sentence_and_a_row_for_each_of_its_features_only():
    sections = dict(section.split("\n", 1) for section in PAGE.split("\n## ")[1:])
    assert list(sections) == [*GROUPS, "facts", "The vocabulary"]
    assert sections["purchases"].startswith("\nPurchases: how many, how much, how large.\n\n| name | unit |")
    rows = {name: section.count("\n| `") for name, section in sections.items() if name != "The vocabulary"}
    assert rows == Counter(feature.group for feature in (*FEATURES, *FACTS))


@pytest.mark.parametrize("name", STREAMS)
def test_every_stream_is_in_the_catalogue_page_with_its_columns(name):
    of = STREAMS[name]
    (row,) = re.findall(rf"^\| `{name}` \| {re.escape(of.rows)} \|.*$", PAGE, re.MULTILINE)
    columns = re.findall(r"`(\w+)`", row)
    assert columns == [name, *of.numbers, *of.flags, *of.words, *of.times]


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_in_the_catalogue_page_with_what_it_wants(name):
    of, section = OPERATIONS[name], PAGE.split("\n### Operations\n")[1]
    (row,) = [
        line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith(f"| `{name}` |")
    ]
    assert row[1:3] == [of.of, of.by]
    assert row[4] == of.empty
    example = row[5].strip("`")
    assert [one.measure.operation for one in (*FEATURES, *FACTS) if one.name == example] == [name]


def test_the_numbers_of_features_in_the_readme_are_true():
    (numbers,) = re.findall(r"(\d+) features in (\d+) groups, and (\d+) facts", README)
    assert numbers == (str(len(FEATURES)), str(len(GROUPS)), str(len(FACTS)))


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_every_source_is_in_the_readme(source):
    assert f"`{source}`" in README


def test_every_endpoint_is_in_the_readme_and_none_else():
    served = {path.replace("{customer_id}", "{id}") for path in create_app().openapi()["paths"]}
    assert set(re.findall(r"`(?:GET |POST )?/v1(/[a-z]+(?:/\{id\})?)`", README)) == served
    assert {"/orders", *(f"/{name}" for name in KINDS)} <= served


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
