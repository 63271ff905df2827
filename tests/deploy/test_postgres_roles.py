"""The database as `deploy/postgres/roles.sql` makes it: what PostgreSQL's log tells."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from provlog.server.initialise import Place, initialise
from provlog.server.instance import load_instance
from provlog.server.storage.opening import open_storage
from support.deploying import DEPLOY
from support.postgres import Cluster
from support.services import ORIGIN, SOURCE, append, draft, now_ms, running

pytestmark = pytest.mark.needs("postgres")
PASSWORDS = {role: f"password-of-{role}" for role in ("owner", "server")}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster.create() as made:
        # An operator who looks for what is slow.
        made.configure(log_min_duration_statement="0")
        made.restart()
        yield made


def make_roles(cluster: Cluster, secrets: Path) -> None:
    for role, password in PASSWORDS.items():
        (secrets / f"db_{role}_password").write_text(f"{password}\n")
    script = (DEPLOY / "postgres" / "roles.sql").read_text()
    cluster.execute(script.replace("/run/secrets/", f"{secrets}/"))


async def test_no_data_and_no_password_get_into_the_log_of_the_database(
    cluster: Cluster, tmp_path: Path
) -> None:
    make_roles(cluster, tmp_path)
    with pytest.raises(RuntimeError, match="already exists"):
        make_roles(cluster, tmp_path)
    owner = cluster.dsn("provlog", "provlog_owner")
    place = Place(tmp_path / "data", tmp_path / "guard", owner, "provlog_server")
    await initialise(place, origin=ORIGIN, sources=(SOURCE,), now=now_ms())
    instance = load_instance(place.folder, None)
    async with running(instance, storage=open_storage(instance)) as (service, log):
        index = log.released.size
        await append(service, log, draft(log, "an-event"))
        private = await service.storage.private(log.id, index)
    assert private is not None
    text = cluster.log_text()
    assert "INSERT INTO entries" in text
    for secret in (*private.disclosures, *PASSWORDS.values()):
        assert secret not in text
