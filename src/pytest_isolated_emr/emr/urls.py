"""Where EMR is reached, as moto's server asks for it."""

from moto.emr.urls import url_bases

from pytest_isolated_emr.emr.responses import EmrResponses

__all__ = ["url_bases", "url_paths"]

url_paths = {"{0}/$": EmrResponses.dispatch}
