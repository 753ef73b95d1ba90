-- One line for each thing in the schema, the same on every PostgreSQL from 15
-- on: no owners, no not-null constraints (18 lists them), no identity of
-- partitions (17 inherits it).
select line from (
    select 1 as part, c.relname || ' ' || lpad(a.attnum::text, 3, '0') as key,
           'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
           || case when a.attnotnull then ' not null' else '' end
           || case when a.attidentity <> '' and not c.relispartition then ' identity ' || a.attidentity::text else '' end
           || case when a.attgenerated <> '' then ' generated' else '' end
           || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') as line
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relnamespace = 'outbox'::regnamespace and c.relkind in ('r', 'p') and c.relname <> 'migrations'
    union all
    select 2, c.relname,
           'table ' || c.relname || case c.relkind when 'p' then ' partition by ' || pg_get_partkeydef(c.oid) else '' end
           || coalesce(' of ' || i.inhparent::regclass || ' ' || pg_get_expr(c.relpartbound, c.oid), '')
           || coalesce(' with ' || array_to_string(c.reloptions, ', '), '')
    from pg_class c left join pg_inherits i on i.inhrelid = c.oid
    where c.relnamespace = 'outbox'::regnamespace and c.relkind in ('r', 'p') and c.relname <> 'migrations'
    union all
    select 3, k.conrelid::regclass || k.conname, 'constraint ' || k.conrelid::regclass || ' ' || k.conname || ' ' || pg_get_constraintdef(k.oid)
    from pg_constraint k
    where k.connamespace = 'outbox'::regnamespace and k.contype <> 'n' and k.conrelid <> 'outbox.migrations'::regclass
    union all
    select 4, c.relname, pg_get_indexdef(c.oid)
    from pg_class c join pg_index x on x.indexrelid = c.oid
    where c.relnamespace = 'outbox'::regnamespace and x.indrelid <> 'outbox.migrations'::regclass
    union all
    select 5, p.proname, pg_get_functiondef(p.oid) from pg_proc p where p.pronamespace = 'outbox'::regnamespace
    union all
    select 6, g.key, g.line from (
        select c.relname || a.grantee::regrole || a.privilege_type as key,
               'grant ' || a.privilege_type || ' on ' || c.relname || ' to ' || a.grantee::regrole as line
        from pg_class c cross join aclexplode(c.relacl) a
        where c.relnamespace = 'outbox'::regnamespace and a.grantee <> 0 and a.grantee::regrole::text like 'outbox\_%'
        union all
        select c.relname || a.grantee::regrole || a.privilege_type || t.attname,
               'grant ' || a.privilege_type || ' (' || t.attname || ') on ' || c.relname || ' to ' || a.grantee::regrole
        from pg_class c join pg_attribute t on t.attrelid = c.oid cross join aclexplode(t.attacl) a
        where c.relnamespace = 'outbox'::regnamespace and a.grantee <> 0
        union all
        select p.proname || a.grantee, 'grant execute on ' || p.proname || ' to ' || case a.grantee when 0 then 'public' else a.grantee::regrole::text end
        from pg_proc p cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        where p.pronamespace = 'outbox'::regnamespace and a.grantee <> p.proowner
    ) as g
    union all
    select 7, s.seqrelid::regclass::text, 'sequence ' || s.seqrelid::regclass || ' cache ' || s.seqcache
        || ' increment ' || s.seqincrement || ' start ' || s.seqstart || ' cycle ' || s.seqcycle
    from pg_sequence s where s.seqrelid = 'outbox.events_id_seq'::regclass
) as all_lines
order by part, key collate "C", line collate "C"
