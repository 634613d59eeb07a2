"""``--isolated-emr-dry-run``: a run that prints the RunJobFlow request of its cluster, and does nothing else."""

from __future__ import annotations

import getpass
import json
import sys
from datetime import datetime, timedelta, timezone

import pytest

from pytest_isolated_emr import settings
from pytest_isolated_emr.asked_cluster import asked_cluster
from pytest_isolated_emr.backends.emr.tags import SessionIdentity, expiry_after
from pytest_isolated_emr.backends.emr.terms import ClusterTerms
from pytest_isolated_emr.emr import releases
from pytest_isolated_emr.emr_settings import EmrSettings
from pytest_isolated_emr.errors import EXIT_NO_ENVIRONMENT, IsolatedEmrError
from pytest_isolated_emr.lifecycle.host import this_host
from pytest_isolated_emr.lifecycle.run_id import new_run_id
from pytest_isolated_emr.spark.installation import find_spark


class DryRun:
    """Stands in for the isolated run: no session, no call of AWS.

    :param config: pytest's configuration, before the first conftest is imported.
    :raises pytest.UsageError: a setting is wrong, or the backend is another.
    """

    def __init__(self, config: pytest.Config) -> None:
        chosen = settings.read_settings(config)
        if chosen.emr is None:
            raise pytest.UsageError(
                f"--isolated-emr-dry-run: the backend {chosen.backend!r} launches no cluster; "
                "it needs --isolated-emr-backend=emr"
            )
        self._emr: EmrSettings = chosen.emr
        self._release = chosen.release

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int:
        """Print the request in place of running tests. Now conftests are loaded, and the hook with them."""
        try:
            label = releases.of(self._release, find_spark().version).label
            identity = self._identity()
            terms = ClusterTerms(
                identity, self._emr.idle_minutes, self._emr.most_minutes, f"{identity.place}/logs/"
            )
            request = terms.request(asked_cluster(config, self._emr, label))
        except IsolatedEmrError as error:
            sys.stderr.write(f"\nERROR: {error}\n")
            return EXIT_NO_ENVIRONMENT
        _give_back_output(config)
        print(json.dumps(request, indent=2))
        return 0

    def _identity(self) -> SessionIdentity:
        """Return who a run that starts now would be."""
        run_id = new_run_id()
        return SessionIdentity(
            run_id=run_id,
            owner=getpass.getuser(),
            host=this_host().name,
            expiry=expiry_after(datetime.now(timezone.utc), timedelta(minutes=self._emr.most_minutes)),
            place=f"s3://{self._emr.bucket}/{self._emr.prefix}/{run_id}",
        )


def _give_back_output(config: pytest.Config) -> None:
    """Write what conftests printed to stderr. pytest, which holds it, would write it behind the JSON."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        sys.stderr.write("".join(capture.read_global_capture()))
