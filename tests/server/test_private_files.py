"""Who may read a secret's file, and when the server does not read it itself."""

from pathlib import Path

import pytest

from provlog.server.errors import ConfigurationError
from provlog.server.files import read_private

VARIABLE = "CREDENTIALS_DIRECTORY"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "credentials" / "token"
    path.parent.mkdir()
    path.write_text("of-the-provider\n")
    return path


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_secret_that_others_may_reach_is_refused(secret: Path, mode: int) -> None:
    secret.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_private(secret)


def test_a_credential_of_the_service_s_own_may_look_like_the_group_s(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As systemd hands it over with an access list.
    secret.chmod(0o440)
    monkeypatch.setenv(VARIABLE, str(secret.parent))
    assert read_private(secret) == "of-the-provider"
    for mode in (0o460, 0o444, 0o450):
        secret.chmod(mode)
        with pytest.raises(ConfigurationError, match="chmod 600"):
            read_private(secret)


def test_no_other_file_profits_from_that(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret.chmod(0o440)
    monkeypatch.setenv(VARIABLE, str(secret.parent / "other"))
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_private(secret)
    # Not by way of a path that only begins like one of them.
    monkeypatch.setenv(VARIABLE, str(secret.parent.parent / "cred"))
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_private(secret)
