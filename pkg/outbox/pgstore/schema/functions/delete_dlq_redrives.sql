-- Deletes rows of outbox.dlq_redrives of runs that began before p_before and more than 30 days ago, at most p_limit, the
-- oldest first, and returns how many. It passes over those that another transaction has locked.
create or replace function outbox.delete_dlq_redrives(p_before timestamptz, p_limit integer) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
declare
    deleted bigint;
begin
    delete from outbox.dlq_redrives d
    where d.redrive_id in (
        select o.redrive_id from outbox.dlq_redrives o
        where o.started_at < least(p_before, clock_timestamp() - interval '30 days')
        order by o.redrive_id limit p_limit
        for update skip locked);
    get diagnostics deleted = row_count;
    return deleted;
end
$$;

select outbox.grant_function('delete_dlq_redrives', '{outbox_janitor}');
