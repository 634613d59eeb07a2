"""What a test may see of the machine's AWS settings where it works on the real AWS: limited credentials, and no others.

The names are those of the AWS SDKs and Tools reference, "Settings reference", but for the ones with a comment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pytest_isolated_emr.aws.environment import (
    chosen_profile,
    config_section,
    profile_names,
    without_proxy,
    write_settings,
)

#: Of the variables of AWS's clients these say how AWS is reached, and nothing of whose credentials. All others are
#: dropped: one that is not known here may lead to credentials.
_STAYING = frozenset(
    {
        "AWS_CA_BUNDLE",
        # The Rust object store's: plain HTTP is allowed.
        "AWS_ALLOW_HTTP",
        "AWS_CLI_AUTO_PROMPT",
        "AWS_CLI_FILE_ENCODING",
        "AWS_DATA_PATH",
        "AWS_DEFAULT_OUTPUT",
        "AWS_DEFAULTS_MODE",
        "AWS_DISABLE_REQUEST_COMPRESSION",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        "AWS_MAX_ATTEMPTS",
        "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
        "AWS_METADATA_SERVICE_TIMEOUT",
        "AWS_PAGER",
        "AWS_REQUEST_CHECKSUM_CALCULATION",
        "AWS_RESPONSE_CHECKSUM_VALIDATION",
        "AWS_RETRY_MODE",
        "AWS_SDK_UA_APP_ID",
        "AWS_STS_REGIONAL_ENDPOINTS",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_USE_FIPS_ENDPOINT",
    }
)
_ENDPOINT = "AWS_ENDPOINT_URL"
#: boto's old configuration file, which botocore still looks for keys in before it asks a container's agent.
_BOTO_CONFIG = "BOTO_CONFIG"
#: By these a job of GitHub's asks for a token, which its own role is given for:
#: https://docs.github.com/en/actions/reference/security/oidc
_IDENTITIES = frozenset({"ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL"})


class LimitedEnvironment:
    """The variables and files by which AWS clients find a run's limited credentials instead of the user's own.

    :param container: the variables that name the server of the credentials.
    :param region: where the session is.
    :param directory: for the config and credentials files; made, for its owner only, if it is not there.
    :param machine: the variables as the user has them.
    """

    def __init__(
        self,
        container: Mapping[str, str],
        region: str,
        directory: Path,
        machine: Mapping[str, str] = os.environ,
    ) -> None:
        self._container = dict(container)
        self._region = region
        self._directory = directory
        self._machine = machine

    @staticmethod
    def drops(name: str) -> bool:
        """Tell whether a test must not see a variable of the machine's environment.

        :param name: the variable's name.
        """
        if name == _BOTO_CONFIG or name in _IDENTITIES:
            return True
        stays = name in _STAYING or name == _ENDPOINT or name.startswith(f"{_ENDPOINT}_")
        return name.startswith("AWS_") and not stays

    def variables(self) -> dict[str, str]:
        """Write the files and return the variables."""
        config, credentials = self._directory / "config", self._directory / "credentials"
        profiles = profile_names(self._machine)
        # A profile that has no keys leads on to the container's variables, however it was chosen.
        write_settings(
            config, "".join(f"{config_section(profile)}region = {self._region}\n" for profile in profiles)
        )
        write_settings(credentials, "")
        return {
            **self._container,
            "AWS_REGION": self._region,
            "AWS_DEFAULT_REGION": self._region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(config),
            "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
            _BOTO_CONFIG: str(credentials),
            **chosen_profile(self._machine),
            **without_proxy(self._machine),
        }
