-- Deletes rows of the archive with ids from p_from to p_to that were sent before p_before and earlier than
-- outbox.settings.keep ago, at most p_limit, and returns in deleted how many; without p_exported it fails where
-- outbox.settings has export_required. With p_exported, p_from and p_to must be those of a recorded file: it deletes all rows of the file,
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
    before  constant timestamptz := least(p_before, clock_timestamp() - (select s.keep from outbox.settings s));
    file    outbox.exports;
    found   record;
begin
    if not p_exported and (select s.export_required from outbox.settings s) then
        raise exception 'rows leave the archive only after their export: set export_required of outbox.settings to false to remove them without'
            using errcode = 'object_not_in_prerequisite_state';
    end if;
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
        select count(*) as rows, coalesce(sum(a.digest), 0) as digest, coalesce(bool_or(a.sent_at >= before), false) as young
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
            where o.id between p_from and p_to and o.sent_at < before
            order by o.id limit p_limit)
          and a.id between p_from and p_to;
        get diagnostics deleted = row_count;
    end if;
    outcome := 'done';
    return next;
end
$$;

select outbox.grant_function('delete_archived', '{outbox_janitor}');
