-- Returns the timeline of the server, which grows with each promotion of a standby and each restore to a point in time. It
-- is null where the server does not tell it, as a standby and some services do not.
create or replace function outbox.timeline() returns bigint
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint;
exception
    when others then
        return null;
end
$$;

select outbox.grant_function('timeline');
