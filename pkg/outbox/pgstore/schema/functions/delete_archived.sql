-- Deletes rows of the archive with ids from p_from to p_to that were sent before p_before, at most p_limit, and returns in
-- deleted how many. With p_exported, p_from and p_to must be those of a recorded file: it deletes all rows of the file,
-- whatever p_limit is, when they are unchanged and were all sent before p_before, and else none. outcome is done, changed
-- (nothing was deleted for that reason) or busy (another transaction is changing partitions).
create or replace function outbox.delete_archived(p_from bigint, p_to bigint, p_before timestamptz, p_limit integer, p_exported boolean)
returns table (outcome text, deleted bigint)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
    file    outbox.exports;
    found   record;
begin
    deleted := 0;
    outcome := 'busy';
    if not outbox.lock_partitions(false) then
        return next;
        return;
    end if;
    outcome := 'changed';
    if p_exported then
        select x.* into file from outbox.exports x where x.from_id = p_from and x.to_id = p_to and x.removed_at is null;
        -- Each row is locked first, so that it is deleted as it was digested.
        select count(*) as rows, coalesce(sum(a.digest), 0) as digest, coalesce(bool_or(a.sent_at >= p_before), false) as young
        into found
        from (select outbox.digest(r) as digest, r.sent_at from outbox.archive r where r.id between p_from and p_to for update) as a;
        if file is null or found.young or found.rows is distinct from file.rows or found.digest is distinct from file.digest then
            return next;
            return;
        end if;
        delete from outbox.archive a where a.id between p_from and p_to;
        get diagnostics deleted = row_count;
        if deleted <> file.rows then
            raise exception 'delete_archived: % rows of a file of %', deleted, file.rows;
        end if;
        update outbox.exports set removed_at = clock_timestamp() where location = file.location;
    else
        delete from outbox.archive a
        where a.id in (
            select o.id from outbox.archive o
            where o.id between p_from and p_to and o.sent_at < p_before
            order by o.id limit p_limit)
          and a.id between p_from and p_to;
        get diagnostics deleted = row_count;
    end if;
    outcome := 'done';
    return next;
end
$$;

select outbox.grant_function('delete_archived', '{outbox_janitor}');
