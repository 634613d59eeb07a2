"""The pytest plugin: options, and the choice between an isolated run and none.

Without the option this module is all that is loaded besides the fixtures' names.
"""

from __future__ import annotations

import sys

import pytest

from pytest_isolated_emr import hooks, options

_MARKER = (
    "isolated_emr(conf=None, packages=None): Spark settings and packages (group:artifact:version) "
    "for a test, a class or a module"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    options.add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks by which a conftest takes part."""
    pluginmanager.add_hookspecs(hooks)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start the session before the first conftest is imported, which may make an AWS client already."""
    known = early_config.known_args_namespace
    if known.help or known.version:
        return
    if known.isolated_emr_dry_run:
        _start_dry_run(early_config)
        return
    if not options.is_enabled(early_config):
        return
    from pytest_isolated_emr.errors import EXIT_NO_ENVIRONMENT, IsolatedEmrError
    from pytest_isolated_emr.platform_support import require_supported_platform

    try:
        require_supported_platform()
        from pytest_isolated_emr.run import IsolatedRun

        IsolatedRun.start(early_config)
    except (IsolatedEmrError, OSError) as error:
        from pytest_isolated_emr.lifecycle.system_errors import in_words_here

        told = in_words_here(error)
        if told is None:
            raise
        # No test has run, and none could; a return code of its own tells CI so.
        sys.stderr.write(f"\nERROR: {told}\n")
        raise SystemExit(EXIT_NO_ENVIRONMENT) from None


def _start_dry_run(config: pytest.Config) -> None:
    if not options.is_enabled(config):
        raise pytest.UsageError("--isolated-emr-dry-run: it needs --isolated-emr")
    from pytest_isolated_emr.dry_run import DryRun

    config.pluginmanager.register(DryRun(config), "isolated_emr_dry_run")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Define the fixtures, but for names that another plugin has given a meaning already.

    Now all plugins are known, and pytest has not yet looked for fixtures: a conftest's come later, and win.
    """
    from pytest_isolated_emr import fixtures

    manager = session.config.pluginmanager
    manager.register(
        fixtures.provider(fixtures.names_of_others(manager.get_plugins())), "isolated_emr_fixtures"
    )
