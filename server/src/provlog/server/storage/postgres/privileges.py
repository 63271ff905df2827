"""Whether the role that serves may do more than it has to.

Nothing is refused: the triggers hold for everybody but a superuser who takes them away.
But whoever takes over a server that has more rights than it needs can do more harm.
"""

from typing import Final

from provlog.server.storage.postgres.connecting import Plain, Pooled, fetch

_EXCESS: Final = """
SELECT current_user::text, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
       has_schema_privilege('provlog', 'CREATE')
       OR EXISTS (SELECT FROM pg_class c WHERE relnamespace = 'provlog'::regnamespace
                  AND relkind IN ('r', 'p')
                  AND has_table_privilege(c.oid, 'DELETE, TRUNCATE'))
       OR EXISTS (SELECT FROM unnest('{logs,entries,tiles,keys,sources,private,openings,
                                       schema_version}'::text[]) t
                  WHERE has_any_column_privilege('provlog.' || t, 'UPDATE'))
"""


async def excess_rights(connection: Plain | Pooled) -> list[str]:
    """Return a warning where the role has more rights than serving takes."""
    [(role, superuser, excess)] = await fetch(connection, _EXCESS)
    if not superuser and not excess:
        return []
    what = "is a superuser" if superuser else "may change and delete entries"
    return [
        f"the database role {role} {what}: let the servers use one that --grant-to of"
        " provlog-server init or migrate gave its rights"
    ]
