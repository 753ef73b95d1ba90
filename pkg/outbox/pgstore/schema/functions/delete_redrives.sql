-- Deletes rows of outbox.redrives, the history of redrives and replays, from before p_before, at most p_limit, the oldest
-- first, and answers how many. It passes over those that another transaction has locked.
create or replace function outbox.delete_redrives(p_before timestamptz, p_limit integer) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
declare
    deleted bigint;
begin
    delete from outbox.redrives d
    where d.redrive_id in (
        select o.redrive_id from outbox.redrives o
        where o.redriven_at < p_before
        order by o.redrive_id limit p_limit
        for update skip locked);
    get diagnostics deleted = row_count;
    return deleted;
end
$$;

select outbox.grant_function('delete_redrives', '{outbox_janitor}');
