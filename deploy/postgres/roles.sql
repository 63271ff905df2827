-- Run once as the superuser, in a new cluster: two roles, and the database of one of them.
-- Passwords are read from files, so that none stands in a command or in the environment.
\set ON_ERROR_STOP on
\set owner_password `cat /run/secrets/db_owner_password`
\set server_password `cat /run/secrets/db_server_password`
-- Nor in PostgreSQL's log, where a statement that is slow or fails would stand whole.
SET log_statement = none;
SET log_min_duration_statement = -1;
SET log_min_error_statement = panic;

-- Owns the tables: for `init`, `migrate`, and nothing else.
CREATE ROLE provlog_owner LOGIN PASSWORD :'owner_password';
-- Serves. It gets its rights on tables from `init --grant-to` and `migrate --grant-to`.
CREATE ROLE provlog_server LOGIN PASSWORD :'server_password';
-- What is written names people, and stands in the parameters of statements. Where slow ones
-- are logged (log_min_duration_statement), PostgreSQL would log these along with them.
ALTER ROLE provlog_owner SET log_parameter_max_length = 0;
ALTER ROLE provlog_server SET log_parameter_max_length = 0;
-- Sees how far standbys are behind, which is among the metrics.
GRANT pg_read_all_stats TO provlog_server;

CREATE DATABASE provlog OWNER provlog_owner;
REVOKE ALL ON DATABASE provlog FROM PUBLIC;
GRANT CONNECT ON DATABASE provlog TO provlog_server;
