"""What was given for a setting, by option or by ini, with the place that an error names."""

from __future__ import annotations

from typing import Any

import pytest

#: A value, and the place that it was given in.
Given = tuple[str, str]


def option(config: pytest.Config, dest: str) -> Any:
    """Return an option's value, None where it is not given.

    :param config: pytest's configuration, as early as ``pytest_load_initial_conftests``.
    :param dest: the option's name in the parsed arguments.
    """
    # Before pytest has parsed everything, what is known so far is only here.
    return getattr(config.known_args_namespace, dest, None)


def ini(config: pytest.Config, name: str) -> Any:
    """Return an ini setting's value.

    :param config: pytest's configuration.
    :param name: the setting's.
    :raises pytest.UsageError: it is not of its type.
    """
    try:
        return config.getini(name)
    except (ValueError, pytest.UsageError) as error:
        # pytest says what is wrong with the value, but not whose it is.
        raise pytest.UsageError(f"ini setting {name}: {error}") from error


def given(config: pytest.Config, name: str) -> Given | None:
    """Return a setting's value with the place it was given in, or nothing where it was not given.

    :param config: pytest's configuration.
    :param name: the setting's, without ``isolated_emr_``.
    """
    value = option(config, f"isolated_emr_{name}")
    if value is not None:
        return str(value), f"--isolated-emr-{name.replace('_', '-')}"
    text = str(ini(config, f"isolated_emr_{name}")).strip()
    return (text, f"ini setting isolated_emr_{name}") if text else None


def flag(config: pytest.Config, name: str) -> bool:
    """Tell whether something that is off by default is on, by option or by ini.

    :param config: pytest's configuration.
    :param name: the setting's, without ``isolated_emr_``.
    """
    return bool(option(config, f"isolated_emr_{name}") or ini(config, f"isolated_emr_{name}"))


def one_of(found: Given, choices: tuple[str, ...]) -> str:
    """Return a value that is one of some.

    :param found: the value, and its place.
    :param choices: what it may be.
    :raises pytest.UsageError: it is none of them.
    """
    value, place = found
    if value not in choices:
        raise pytest.UsageError(f"{place}: {value!r} is not one of: {', '.join(choices)}")
    return value


def choice(config: pytest.Config, name: str, choices: tuple[str, ...]) -> str:
    """Return a setting that is one of some, the first of them where it is not given.

    :param config: pytest's configuration.
    :param name: the setting's, without ``isolated_emr_``.
    :param choices: what it may be.
    :raises pytest.UsageError: it is none of them.
    """
    found = given(config, name)
    return choices[0] if found is None else one_of(found, choices)
