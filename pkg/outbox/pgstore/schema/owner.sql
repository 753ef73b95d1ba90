-- Fails unless the schema outbox and all that is in it belong to the role that runs this or to a superuser, and unless
-- that role alone may create in it. What another role made there, such as a function, would run with the rights of the
-- role that migrates.
do $$
declare
    found text;
begin
    with strangers as (
        select r.oid, r.rolname from pg_roles r where r.rolname <> current_user and not r.rolsuper
    ), schema as (
        select n.oid, n.nspowner, n.nspacl from pg_namespace n where n.nspname = 'outbox'
    ), faults as (
        select 1 as part, format('the schema outbox belongs to the role %I', s.rolname) as fault
        from schema n join strangers s on s.oid = n.nspowner
        union all
        select 2, format('the role %I may create in the schema outbox', coalesce(s.rolname, 'public'))
        from schema n
        cross join aclexplode(n.nspacl) a
        left join strangers s on s.oid = a.grantee
        where a.privilege_type = 'CREATE' and (a.grantee = 0 or s.oid is not null)
        union all
        select 3, format('%s belongs to the role %I', pg_describe_object(d.classid, d.objid, 0), s.rolname)
        from schema n
        join pg_depend d on d.refclassid = 'pg_namespace'::regclass and d.refobjid = n.oid
        join pg_shdepend h on h.classid = d.classid and h.objid = d.objid and h.objsubid = 0 and h.deptype = 'o'
            and h.dbid = (select b.oid from pg_database b where b.datname = current_database())
        join strangers s on s.oid = h.refobjid
    )
    select string_agg(f.fault, '; ' order by f.part, f.fault) into found from (select * from faults limit 10) as f;
    if found is not null then
        raise exception 'the role % cannot trust what is in the schema outbox: %', current_user, found
            using errcode = 'OB001',
                  hint = 'migrate as the role that owns the schema (role=NAME in the URL), or have an administrator drop what is foreign';
    end if;
end
$$;
