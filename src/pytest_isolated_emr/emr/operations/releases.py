"""Operations that tell of EMR's releases."""

from __future__ import annotations

from typing import Any

from pytest_isolated_emr.emr import release_labels, releases
from pytest_isolated_emr.emr.models import EmrBackend
from pytest_isolated_emr.emr.paging import page


def list_release_labels(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell of the releases of the region."""
    filters = request.get("Filters") or {}
    prefix, application = filters.get("Prefix") or "", filters.get("Application")
    found = [
        label
        for label in release_labels.of_region(backend.region_name)
        if label.startswith(prefix) and (not application or _has(label, application))
    ]
    return page(found, "ReleaseLabels", request, marker="NextToken")


def _has(label: str, application: str) -> bool:
    """Tell whether a release has an application, such as ``spark@2.1.0`` or ``spark``."""
    name, _, version = application.partition("@")
    release = releases.known().get(label)
    return release is not None and any(
        known.casefold() == name.casefold() and version in ("", exact, releases.upstream(exact))
        for known, exact in release.applications.items()
    )


def describe_release_label(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell what is in a release; in the newest where none is named."""
    label = request.get("ReleaseLabel") or release_labels.of_region(backend.region_name)[0]
    release_labels.check(label)
    release = releases.known().get(label)
    applications = [
        {"Name": name, "Version": version}
        for name, version in (release.applications.items() if release else ())
    ]
    answer = page(applications, "Applications", request, marker="NextToken")
    return {"ReleaseLabel": label, **answer, "AvailableOSReleases": []}
