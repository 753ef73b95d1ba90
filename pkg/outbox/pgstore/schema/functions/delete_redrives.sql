-- Deletes rows of outbox.redrives and of outbox.deleted_dead_letters, the history of events, from before p_before, at most
-- p_limit of each, the oldest first, and answers how many of both. It passes over those that another transaction has
-- locked, and those that outbox.settings.keep protects.
create or replace function outbox.delete_redrives(p_before timestamptz, p_limit integer) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
declare
    before   constant timestamptz := least(p_before, clock_timestamp() - (select s.keep from outbox.settings s));
    redrives bigint;
    letters  bigint;
begin
    delete from outbox.redrives d
    where d.redrive_id in (
        select o.redrive_id from outbox.redrives o
        where o.redriven_at < before
        order by o.redrive_id limit p_limit
        for update skip locked);
    get diagnostics redrives = row_count;
    delete from outbox.deleted_dead_letters d
    where (d.event_id, d.id) in (
        select o.event_id, o.id from outbox.deleted_dead_letters o
        where o.deleted_at < before
        order by o.deleted_at limit p_limit
        for update skip locked);
    get diagnostics letters = row_count;
    return redrives + letters;
end
$$;

select outbox.grant_function('delete_redrives', '{outbox_janitor}');
