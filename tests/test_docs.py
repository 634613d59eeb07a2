"""The documentation names all that users can meet, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest

from pytest_isolated_emr import errors, fixtures, hooks, options
from pytest_isolated_emr.cli import cli

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted((DOCS / "errors").glob("*.md"))
USAGE = (DOCS / "usage.md").read_text(encoding="utf-8")
ALL = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def kinds(
    base: type[errors.IsolatedEmrError] = errors.IsolatedEmrError,
) -> list[type[errors.IsolatedEmrError]]:
    return [base, *(kind for child in base.__subclasses__() for kind in kinds(child))]


CODES = [kind.code for kind in kinds()]


class Declared:
    """Stands in for pytest's parser, and notes what is declared."""

    def __init__(self) -> None:
        self.options: list[str] = []
        self.ini: list[str] = []

    def getgroup(self, *_args: str) -> Declared:
        return self

    def addoption(self, name: str, **_options: Any) -> None:
        self.options.append(name)

    def addini(self, name: str, *_args: str, **_options: Any) -> None:
        self.ini.append(name)


DECLARED = Declared()
options.add_options(DECLARED)  # type: ignore[arg-type]


def commands(group: click.Group = cli, prefix: str = "") -> dict[str, click.Command]:
    """The commands by their names, those of groups with the group's name before."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, f"{prefix}{name} ")
        else:
            found[prefix + name] = command
    return found


COMMANDS = commands()


def is_named(name: str, text: str) -> bool:
    """Whether a text has the name as code, not only as the start of a longer one."""
    return re.search(rf"`{re.escape(name)}(?![\w-])", text) is not None


def anchors(text: str) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_code_is_of_one_error():
    assert len(CODES) == len(set(CODES))


@pytest.mark.parametrize("code", CODES)
def test_every_error_has_a_page(code: str):
    text = (DOCS / "errors" / f"{code}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {code}: ")
    for heading in ("## What is checked", "## What to do", "## Example"):
        assert f"\n{heading}\n" in text
    # The example has the form of the real message.
    example = text.partition("## Example")[2]
    assert re.search(
        rf"^    {code}: .+^      checked: .+^      to do: .+^      more: docs/errors/{code}\.md$",
        example,
        re.M | re.S,
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_is_of_an_error(page: Path):
    assert page.stem in CODES


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_only_codes_that_exist_are_named(path: Path):
    assert set(re.findall(r"\bIE\d{3}\b", path.read_text(encoding="utf-8"))) <= set(CODES)


def test_something_is_declared():
    assert DECLARED.options
    assert DECLARED.ini


@pytest.mark.parametrize("name", [*DECLARED.options, *DECLARED.ini])
def test_every_setting_is_in_the_usage(name: str):
    assert is_named(name, USAGE)


def test_only_settings_that_exist_are_in_the_usage():
    named = set(re.findall(r"--(?:no-)?isolated-emr[\w-]*", USAGE))
    assert named <= set(DECLARED.options)
    assert set(re.findall(r"`(isolated_emr_\w+)`", USAGE)) <= set(DECLARED.ini)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_in_the_usage(name: str):
    assert f"### `isolated-emr {name}`" in USAGE


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (name, option)
        for name, command in sorted(COMMANDS.items())
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
    ],
)
def test_every_option_of_a_command_is_in_its_section(command: str, option: str):
    section = USAGE.partition(f"### `isolated-emr {command}`")[2].partition("\n##")[0]
    assert is_named(option, section)


@pytest.mark.parametrize("name", sorted(fixtures._FIXTURES))
def test_every_fixture_is_in_the_usage(name: str):
    assert is_named(name, USAGE)


@pytest.mark.parametrize("name", [name for name in vars(hooks) if name.startswith("pytest_")])
def test_every_hook_is_in_the_usage(name: str):
    assert f"def {name}(" in USAGE


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target
