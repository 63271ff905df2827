"""PostgreSQL through asyncpg: any number of servers on one database."""
