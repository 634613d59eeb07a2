"""Removing what a dead session of this machine left on AWS: what its journal names, if AWS says the same.

The machine itself proves that the session is dead, so that nothing has to expire first.
"""

from __future__ import annotations

import time

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.account import Account
from pytest_isolated_emr.backends.emr.clusters_of_run import ClustersOfRun
from pytest_isolated_emr.backends.emr.pace import Pace
from pytest_isolated_emr.backends.emr.prefix import RunPrefix
from pytest_isolated_emr.backends.emr.slots import remove_slots
from pytest_isolated_emr.lifecycle.journal import Resource


def remove_cluster(run_id: str, resource: Resource) -> None:
    """End a cluster of a dead session, and wait until it has ended.

    :param run_id: the session's; the cluster's name and tags have to say the same.
    :param resource: the cluster, as the journal has it.
    :raises RuntimeError: it could not be ended.
    :raises IsolatedEmrError: AWS does not answer, or not to these credentials.
    """
    known = resource.facts.get("id")
    clusters = ClustersOfRun(
        _account_of(resource), run_id, resource.facts["place"], Pace.of_environment(), time.sleep
    )
    # Without an id it may have been made a moment before its keeper was killed.
    _, problems = clusters.end(known, lambda text: None, late=() if known else (resource.name,))
    _raise(problems)


def remove_slot(run_id: str, resource: Resource) -> None:
    """Give back the slot of a dead session.

    :param run_id: the session's; the slot has to say the same.
    :param resource: the scratch that it is a slot of, as the journal has it.
    :raises RuntimeError: it could not be removed.
    :raises IsolatedEmrError: AWS does not answer, or not to these credentials.
    """
    facts = resource.facts
    _raise(remove_slots(_account_of(resource), facts["bucket"], facts["prefix"], run_id))


def remove_prefix(run_id: str, resource: Resource) -> None:
    """End what clusters the run still has, and empty its prefix.

    :param run_id: the session's, which is the prefix's last part.
    :param resource: the prefix, as the journal has it.
    :raises RuntimeError: not all of it could be removed.
    :raises IsolatedEmrError: AWS does not answer, or not to these credentials.
    """
    account, facts = _account_of(resource), resource.facts
    prefix = RunPrefix(account, facts["bucket"], facts["prefix"], run_id)
    # A test's own, and whatever else a cluster that lives would write there.
    clusters = ClustersOfRun(account, run_id, prefix.uri, Pace.of_environment(), time.sleep)
    _raise(clusters.end(None, lambda text: None)[1])
    _raise(prefix.empty())


def _account_of(resource: Resource) -> Account:
    account = Account.connect(resource.facts["region"])
    if account.id != resource.facts["account"]:
        raise errors.CredentialsUnusable(
            "These credentials are of another account than the session's.",
            checked=f"they are {account.arn}; the journal has account {resource.facts['account']}",
            cure="Sweep with the credentials, or the AWS_PROFILE, of the run.",
        )
    return account


def _raise(problems: list[str]) -> None:
    if problems:
        raise RuntimeError("; ".join(problems))
