-- Everything in the schema provlog that decides which rows can stand in its tables:
-- pairs of a name and a definition, in PostgreSQL's own words, which for one schema are
-- the same in every database. What only tunes is left out: storage parameters,
-- statistics, tablespaces. Rights are no part of it either.
--
-- A table may be spread over partitions. What they have goes by the table's name, and
-- one that lacks something, or has it otherwise, makes a definition of its own.
WITH
space AS (
    SELECT oid FROM pg_namespace WHERE nspname = 'provlog'
),
relation AS (
    SELECT c.*, quote_ident(c.relname) AS name, coalesce(w.relname, c.relname) AS whole
    FROM pg_class c
    JOIN space ON space.oid = c.relnamespace
    LEFT JOIN pg_inherits ON inhrelid = c.oid AND c.relispartition
    LEFT JOIN pg_class w ON w.oid = inhparent AND w.relnamespace = c.relnamespace
),
objects AS (
    -- An unlogged table is emptied by a crash, a view makes up its rows, and row
    -- security hides some.
    SELECT relation.oid AS place,
           CASE relkind WHEN 'r' THEN 'table ' WHEN 'p' THEN 'table '
                        WHEN 'S' THEN 'sequence '
                        ELSE format('relation of kind %s ', relkind) END || name
               AS name,
           CASE relpersistence WHEN 'p' THEN 'logged' ELSE 'not logged' END
           || CASE WHEN relrowsecurity OR relforcerowsecurity
                   THEN ', row security' ELSE '' END AS definition
    FROM relation WHERE relkind NOT IN ('i', 'I')

    UNION ALL
    SELECT relation.oid, format('column %s.%I', relation.name, attname),
           format_type(atttypid, atttypmod)
           || CASE WHEN attnotnull THEN ' not null' ELSE '' END
           || CASE WHEN attidentity <> '' THEN ' identity ' || attidentity::text ELSE '' END
           || CASE WHEN attgenerated <> '' THEN ' generated' ELSE '' END
           || CASE WHEN attcollation <> typcollation
                   THEN ' collate ' || attcollation::regcollation::text ELSE '' END
           || coalesce(' default ' || pg_get_expr(adbin, adrelid), '')
    FROM relation
    JOIN pg_attribute a ON attrelid = relation.oid
    JOIN pg_type t ON t.oid = atttypid
    LEFT JOIN pg_attrdef ON adrelid = relation.oid AND adnum = attnum
    WHERE relkind NOT IN ('i', 'I', 'S') AND attnum > 0 AND NOT attisdropped

    UNION ALL
    -- Since PostgreSQL 18 NOT NULL is among them; it stands with its column.
    SELECT relation.oid, format('constraint %s.%I', relation.name, conname),
           pg_get_constraintdef(c.oid)
    FROM relation JOIN pg_constraint c ON conrelid = relation.oid
    WHERE contype <> 'n'

    UNION ALL
    SELECT relation.oid, format('index %s.%I', relation.name, i.relname),
           pg_get_indexdef(indexrelid)
           || CASE WHEN indisvalid AND indisready AND indislive
                   THEN '' ELSE ', not in use' END
    FROM relation
    JOIN pg_index ON indrelid = relation.oid
    JOIN pg_class i ON i.oid = indexrelid

    UNION ALL
    SELECT relation.oid, format('trigger %s.%I', relation.name, tgname),
           pg_get_triggerdef(t.oid)
           || CASE tgenabled WHEN 'O' THEN '' ELSE ', state ' || tgenabled::text END
    FROM relation JOIN pg_trigger t ON tgrelid = relation.oid
    WHERE NOT tgisinternal

    UNION ALL
    -- Those that hold a foreign key have random names.
    SELECT relation.oid, format('trigger %s of %I, %s', relation.name, conname, tgfoid::regproc),
           CASE tgenabled WHEN 'O' THEN 'on' ELSE 'state ' || tgenabled::text END
    FROM relation
    JOIN pg_trigger t ON tgrelid = relation.oid
    JOIN pg_constraint c ON c.oid = tgconstraint
    WHERE tgisinternal

    UNION ALL
    SELECT relation.oid, format('rule %s.%I', relation.name, rulename),
           pg_get_ruledef(r.oid) || ', state ' || ev_enabled::text
    FROM relation JOIN pg_rewrite r ON ev_class = relation.oid

    UNION ALL
    SELECT relation.oid, format('policy %s.%I', relation.name, polname), polcmd::text
    FROM relation JOIN pg_policy ON polrelid = relation.oid

    UNION ALL
    -- Reading a parent reads its children, wherever they are.
    SELECT NULL, format('inheritance %s, %s', inhparent::regclass, inhrelid::regclass), ''
    FROM pg_inherits
    WHERE (inhparent IN (SELECT oid FROM relation)
           OR inhrelid IN (SELECT oid FROM relation))
      AND NOT EXISTS (SELECT FROM relation
                      WHERE oid = inhrelid AND relispartition)

    UNION ALL
    SELECT NULL, format('function %I(%s)', proname, pg_get_function_identity_arguments(p.oid)),
           concat_ws(E'\n',
               format('%s returns %s language %s', prokind,
                      pg_get_function_result(p.oid), lanname),
               CASE WHEN prosecdef THEN 'security definer' END,
               'volatility ' || provolatile::text || CASE WHEN proisstrict
                                                    THEN ', strict' ELSE '' END,
               proconfig::text,
               prosrc)
    FROM pg_proc p
    JOIN space ON space.oid = pronamespace
    JOIN pg_language l ON l.oid = prolang

    UNION ALL
    -- Of any other kind there is none.
    SELECT NULL, format('%s %s', found.type, found.identity), ''
    FROM space
    JOIN pg_depend ON refclassid = 'pg_namespace'::regclass AND refobjid = space.oid
    CROSS JOIN LATERAL pg_identify_object(classid, objid, objsubid) AS found
    WHERE classid NOT IN ('pg_class'::regclass, 'pg_proc'::regclass)
),
by_table AS (
    SELECT coalesce(replace(objects.name, relname, whole), objects.name) AS name,
           coalesce(replace(replace(definition, ' ON ONLY ', ' ON '), relname, whole),
                    definition) AS definition,
           1 + (SELECT count(*) FROM relation part
                WHERE part.relispartition AND part.relkind = 'r'
                  AND part.whole = relation.whole) AS places
    FROM objects LEFT JOIN relation ON relation.oid = place
)
SELECT name,
       definition || CASE WHEN count(*) = places THEN ''
                          ELSE E'\nnot of all partitions' END AS definition
FROM by_table
GROUP BY name, definition, places
ORDER BY name COLLATE "C", definition COLLATE "C"
