-- Drops a partition of the archive of which all rows were sent before p_before, and earlier than outbox.settings.keep
-- ago. With p_exported its rows must
-- be those of its recorded files, unchanged; without, it fails where outbox.settings has export_required. It answers done, open (its ids may still be drawn, or outbox.events has a
-- partition for them), young (a row was sent at p_before or later), changed (rows and files differ), gone (no such
-- partition), locked (another transaction uses the archive) or busy (another transaction is changing partitions).
create or replace function outbox.drop_archived(p_number bigint, p_before timestamptz, p_exported boolean) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
declare
    size    constant bigint := outbox.partition_size();
    resting text := outbox.partition_name('archive', p_number);
    before  constant timestamptz := least(p_before, clock_timestamp() - (select s.keep from outbox.settings s));
    young   boolean;
    found   record;
    written record;
begin
    if not p_exported and (select s.export_required from outbox.settings s) then
        raise exception 'rows leave the archive only after their export: set export_required of outbox.settings to false to remove them without'
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    if not outbox.lock_partitions(false) then
        return 'busy';
    end if;
    if to_regclass(format('outbox.%I', resting)) is null then
        return 'gone';
    end if;
    if p_number >= outbox.current_partition()
       or to_regclass(format('outbox.%I', outbox.partition_name('events', p_number))) is not null then
        return 'open';
    end if;
    -- From here on other transactions can read the partition, and not write to it.
    execute format('lock table only outbox.%I in share mode', resting);
    execute format('select exists (select from outbox.%I where sent_at >= $1)', resting) into young using before;
    if young then
        return 'young';
    end if;
    if p_exported then
        execute format('select count(*) as rows, coalesce(sum(outbox.digest(a)), 0) as digest from outbox.archive a where a.id >= $1 and a.id < $2')
        into found using p_number * size, (p_number + 1) * size;
        select coalesce(sum(x.rows), 0)::bigint as rows, coalesce(sum(x.digest), 0) as digest into written
        from outbox.exports x where x.number = p_number and x.removed_at is null;
        if found is distinct from written then
            return 'changed';
        end if;
    end if;
    lock table only outbox.archive in access exclusive mode;
    execute format('lock table only outbox.%I, outbox.archive_default in access exclusive mode nowait', resting);
    execute format('drop table outbox.%I', resting);
    update outbox.exports set removed_at = clock_timestamp() where number = p_number and removed_at is null;
    return 'done';
exception
    when lock_not_available or deadlock_detected then
        return 'locked';
end
$$;

select outbox.grant_function('drop_archived', '{outbox_janitor}');
