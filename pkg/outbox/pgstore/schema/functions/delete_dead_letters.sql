-- Deletes dead letters that were buried before p_before, at most p_limit, those with the lowest ids first, and answers how
-- many. It passes over those that another transaction has locked.
create or replace function outbox.delete_dead_letters(p_before timestamptz, p_limit integer) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
declare
    deleted bigint;
begin
    delete from outbox.dead_letters d
    where d.id in (
        select o.id from outbox.dead_letters o
        where o.dead_at < p_before
        order by o.id limit p_limit
        for update skip locked);
    get diagnostics deleted = row_count;
    return deleted;
end
$$;

select outbox.grant_function('delete_dead_letters', '{outbox_janitor}');
