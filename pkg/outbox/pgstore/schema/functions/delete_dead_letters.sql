-- Deletes dead letters that were buried before p_before, at most p_limit, those with the lowest ids first, and answers how
-- many. Of each it keeps a record without payload and headers in outbox.deleted_dead_letters. It passes over those that
-- a lane is blocked behind, and those that another transaction has locked.
create or replace function outbox.delete_dead_letters(p_before timestamptz, p_limit integer) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
declare
    deleted bigint;
begin
    with removed as (
        delete from outbox.dead_letters d
        where (d.id, d.event_id) in (
            select o.id, o.event_id from outbox.dead_letters o
            where o.dead_at < p_before
              and not exists (
                  select from outbox.blocked b
                  where (b.destination, b.aggregate_type, b.aggregate_id) = (o.destination, o.aggregate_type, o.aggregate_id)
                    and b.event_id = o.event_id)
            order by o.id limit p_limit
            for update skip locked)
        returning d.*
    )
    insert into outbox.deleted_dead_letters as x (
        id, created_at, dead_at, replay_of, event_id, replays, attempts, shard,
        aggregate_type, aggregate_id, event_type, destination, code, reason)
    select r.id, r.created_at, r.dead_at, r.replay_of, r.event_id, r.replays, r.attempts, r.shard,
           r.aggregate_type, r.aggregate_id, r.event_type, r.destination, r.code, r.reason
    from removed r
    on conflict (event_id, id) do update
    set deleted_at = excluded.deleted_at, dead_at = excluded.dead_at, replays = excluded.replays,
        attempts = excluded.attempts, code = excluded.code, reason = excluded.reason;
    get diagnostics deleted = row_count;
    return deleted;
end
$$;

select outbox.grant_function('delete_dead_letters', '{outbox_janitor}');
