"""What other roles of a PostgreSQL database may make is never run by an owner."""

from typing import Any

import asyncpg
import pytest

from provlog.server.storage.postgres.schema import create_database, migrate_database
from support.postgres import Cluster

pytestmark = pytest.mark.needs("postgres")

# It fits a call with a small number better than PostgreSQL's own, which takes a bigint.
_TRAP = """
CREATE FUNCTION public.hashtextextended(text, integer) RETURNS bigint
    LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped''; END';
"""


async def run(url: str, *statements: str) -> None:
    connection: asyncpg.Connection[Any] = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_functions_in_public_are_not_run_by_who_makes_and_changes_tables(
    postgres: Cluster, postgres_database: str, postgres_url: str
) -> None:
    """Up to PostgreSQL 14, and after an upgrade from it, all roles may make some."""
    server = postgres.create_role("server")
    await run(postgres_url, f"GRANT CREATE ON SCHEMA public TO {server}")
    await run(postgres.dsn(postgres_database, server), _TRAP)
    await create_database(postgres_url, server)
    assert await migrate_database(postgres_url, server)
    await run(postgres_url, f"DROP OWNED BY {server}")


async def test_the_name_of_a_role_is_never_taken_for_statements(
    postgres: Cluster, postgres_database: str, postgres_url: str
) -> None:
    plain = postgres.create_role("plain")
    name = f"server\n; ALTER ROLE {plain} CREATEROLE; --"
    await run(postgres_url, f'CREATE ROLE "{name}"')
    await create_database(postgres_url, name)
    roles = "SELECT string_agg(rolcreaterole::text, '') FROM pg_roles"
    assert postgres.execute(f"{roles} WHERE rolname = '{plain}'").strip() == "false"
    await run(postgres_url, f'DROP OWNED BY "{name}"', f'DROP ROLE "{name}"')
