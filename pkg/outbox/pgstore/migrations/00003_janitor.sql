-- +goose Up

-- What the janitor remembers from run to run. last_id and ids_per_second are of
-- sampled_at; the rate is the highest of late, which halves every six hours.
create table outbox.janitor (
    sampled_at     timestamptz not null default clock_timestamp(),
    ended_at       timestamptz,
    last_id        bigint not null default 0,
    ids_per_second double precision not null default 0,
    one            boolean not null default true,
    constraint janitor_pkey primary key (one),
    constraint there_is_one_row check (one)
);

insert into outbox.janitor default values;

-- The files that archived rows were written to. removed_at says when the rows
-- were removed from the archive; until then they are there as well.
create table outbox.exports (
    number      bigint not null,
    from_id     bigint not null,
    to_id       bigint not null,
    rows        bigint not null,
    digest      numeric not null,
    bytes       bigint not null,
    sha256      text not null,
    location    text not null,
    exported_at timestamptz not null default clock_timestamp(),
    removed_at  timestamptz,
    constraint exports_pkey primary key (location),
    constraint exports_hold_rows check (rows > 0 and from_id <= to_id)
);

create unique index exports_number_idx on outbox.exports (number, from_id) where removed_at is null;

-- Whatever changes the partitions takes this lock of the transaction, and goes
-- away when another has it: two janitors do not wait for each other.
-- +goose StatementBegin
create function outbox.try_partitions() returns boolean
language sql volatile
begin atomic
    select pg_try_advisory_xact_lock(1869968504, 2);
end;
-- +goose StatementEnd

-- Measures how fast ids are drawn, over a minute at least.
-- +goose StatementBegin
create function outbox.sample_ids() returns table (sampled_at timestamptz, current bigint, ids_per_second double precision)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
as $$
declare
    at      timestamptz := clock_timestamp();
    drawn   bigint;
    elapsed double precision;
    mine    outbox.janitor;
begin
    select s.last_value into drawn from outbox.events_id_seq s;
    select j.* into mine from outbox.janitor j for update;
    elapsed := extract(epoch from at - mine.sampled_at);
    if elapsed >= 60 then
        mine.ids_per_second := greatest(
            (drawn - mine.last_id) / elapsed, mine.ids_per_second * 0.5 ^ least(elapsed / 21600, 100));
        update outbox.janitor j
        set sampled_at = at, last_id = drawn, ids_per_second = mine.ids_per_second;
    end if;
    return query select at, drawn / 1000000, mine.ids_per_second;
end
$$;
-- +goose StatementEnd

-- The oldest partitions of outbox.events. sealed: it takes unsent rows no more.
-- archived: the archive has a partition for the range. newest is when the row
-- with the highest id was sent, null when there is no row or it is unsent.
-- +goose StatementBegin
create function outbox.list_events(p_limit integer)
returns table (number bigint, closed boolean, archived boolean, sealed boolean, vacant boolean, unsent boolean, newest timestamptz)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
    current bigint;
    child   regclass;
begin
    select s.last_value / 1000000 into current from outbox.events_id_seq s;
    for child, number in
        select c.oid::regclass, substring(c.relname from '^events_p(\d+)$')::bigint as n
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'outbox.events'::regclass and c.relname ~ '^events_p\d+$'
        order by n
        limit p_limit
    loop
        closed := number < current;
        archived := to_regclass(format('outbox.%I', outbox.partition_name('archive', number))) is not null;
        sealed := exists (select from pg_constraint k where k.conrelid = child and k.conname = 'being_archived');
        -- An empty partition of the future needs no look.
        if number > current then
            vacant := true;
            unsent := false;
            newest := null;
        else
            execute format('select not exists (select from %1$s), exists (select from %1$s where sent_at is null),'
                           ' (select e.sent_at from %1$s e order by e.id desc limit 1)', child)
            into vacant, unsent, newest;
        end if;
        return next;
    end loop;
end
$$;
-- +goose StatementEnd

-- The first of three steps that archive a partition. It makes a partition that
-- is closed and wholly sent refuse rows that are not sent, or were sent at
-- p_before or later. No transaction that wrote to it is open then: the
-- constraint waits for them. It answers:
--   sealed   go on with validate_partition
--   open     ids of it may still be drawn
--   unsent   it has unsent rows
--   young    its last row was sent too late
--   moved    the archive has rows of it already: move the rest
--   gone     it is no partition of outbox.events
--   locked   somebody uses it
--   busy     another janitor is at work
-- +goose StatementBegin
create function outbox.seal_partition(p_number bigint, p_before timestamptz) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
    child  text := outbox.partition_name('events', p_number);
    found  boolean;
    newest timestamptz;
begin
    if not outbox.try_partitions() then
        return 'busy';
    end if;
    if not exists (
        select from pg_inherits i
        where i.inhparent = 'outbox.events'::regclass and i.inhrelid = to_regclass(format('outbox.%I', child))) then
        return 'gone';
    end if;
    if p_number >= (select s.last_value / 1000000 from outbox.events_id_seq s) then
        return 'open';
    end if;
    if to_regclass(format('outbox.%I', outbox.partition_name('archive', p_number))) is not null then
        return 'moved';
    end if;
    execute format('select exists (select from outbox.%I where sent_at is null)', child) into found;
    if found then
        return 'unsent';
    end if;
    execute format('select e.sent_at from outbox.%I e order by e.id desc limit 1', child) into newest;
    if newest >= p_before then
        return 'young';
    end if;
    begin
        execute format('alter table outbox.%I drop constraint if exists being_archived', child);
        execute format('alter table outbox.%I add constraint being_archived check (sent_at is not null and sent_at < %L) not valid',
            child, p_before);
    exception
        when lock_not_available or deadlock_detected then
            return 'locked';
    end;
    return 'sealed';
end
$$;
-- +goose StatementEnd

-- The second step reads the whole partition, under a lock that stops no reader
-- and no writer. It answers valid, young when a row stands against it, unsealed
-- when there is nothing to validate, or busy.
-- +goose StatementBegin
create function outbox.validate_partition(p_number bigint) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
as $$
declare
    child text := outbox.partition_name('events', p_number);
begin
    if not outbox.try_partitions() then
        return 'busy';
    end if;
    execute format('alter table outbox.%I validate constraint being_archived', child);
    return 'valid';
exception
    when check_violation then
        return 'young';
    when undefined_table or undefined_object then
        return 'unsealed';
    when lock_not_available then
        return 'busy';
end
$$;
-- +goose StatementEnd

-- Who holds a lock on outbox.events that an exclusive one would wait for.
-- +goose StatementBegin
create function outbox.holders() returns text[]
language sql volatile
return array(
    select l.virtualtransaction
    from pg_catalog.pg_locks l
    where l.locktype = 'relation' and l.relation = 'outbox.events'::regclass and l.granted
      and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
      and l.virtualtransaction <> (
          select v.virtualtransaction from pg_catalog.pg_locks v where v.pid = pg_backend_pid() limit 1));
-- +goose StatementEnd

-- The third step, in one transaction: the partition leaves outbox.events and
-- becomes one of outbox.archive. Nothing is read: the constraints, validated
-- before, prove what the archive asks for, and the archive refuses what they do
-- not prove. Waiting for the lock makes everybody else wait behind, so it is not
-- tried while a transaction is open that has been so for 20 ms and will hardly
-- end within the 50 ms that the lock is waited for.
--
-- outcome is archived, locked, busy, unsealed or gone; seconds how long writers
-- and relays were kept out.
-- +goose StatementBegin
create function outbox.archive_partition(p_number bigint) returns table (outcome text, seconds double precision)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
declare
    child   text := outbox.partition_name('events', p_number);
    resting text := outbox.partition_name('archive', p_number);
    before  text[];
    began   timestamptz;
    index   record;
begin
    seconds := 0;
    outcome := 'busy';
    if not outbox.try_partitions() then
        return next;
        return;
    end if;
    outcome := 'gone';
    if to_regclass(format('outbox.%I', child)) is null then
        return next;
        return;
    end if;
    outcome := 'locked';
    before := outbox.holders();
    if before <> '{}' then
        perform pg_sleep(0.02);
        if before && outbox.holders() then
            return next;
            return;
        end if;
    end if;
    began := clock_timestamp();
    begin
        lock table only outbox.events in access exclusive mode;
        -- Who would hold these now got there past outbox.events.
        execute format('lock table only outbox.%I, outbox.events_default, outbox.archive_default in access exclusive mode nowait', child);
        if not exists (
            select from pg_constraint k
            where k.conrelid = format('outbox.%I', child)::regclass and k.conname = 'being_archived' and k.convalidated) then
            outcome := 'unsealed';
            return next;
            return;
        end if;
        execute format('alter table outbox.events detach partition outbox.%I', child);
        execute format('alter table outbox.%I alter sent_at set not null', child);
        execute format('alter table outbox.%I drop constraint being_archived', child);
        execute format('alter table outbox.%I rename to %I', child, resting);
        for index in
            select c.relname as name, x.indpred is not null as partial
            from pg_index x join pg_class c on c.oid = x.indexrelid
            where x.indrelid = format('outbox.%I', resting)::regclass
        loop
            if index.partial then
                execute format('drop index outbox.%I', index.name);
            else
                execute format('alter index outbox.%I rename to %I', index.name, replace(index.name, child, resting));
            end if;
        end loop;
        execute format('alter table outbox.archive attach partition outbox.%I for values from (%s) to (%s)',
            resting, p_number * 1000000, (p_number + 1) * 1000000);
        outcome := 'archived';
    exception
        when lock_not_available or deadlock_detected then
            outcome := 'locked';
    end;
    seconds := extract(epoch from clock_timestamp() - began);
    return next;
end
$$;
-- +goose StatementEnd

-- Takes the seal off, so that the partition takes unsent rows again.
-- +goose StatementBegin
create function outbox.unseal_partition(p_number bigint) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
begin
    if not outbox.try_partitions() then
        return false;
    end if;
    execute format('alter table if exists outbox.%I drop constraint if exists being_archived', outbox.partition_name('events', p_number));
    return true;
exception
    when lock_not_available or deadlock_detected then
        return false;
end
$$;
-- +goose StatementEnd

-- The partition of the archive that rows are moved to one by one. It raises when
-- archive_default holds rows of the range, where nobody puts any.
-- +goose StatementBegin
create function outbox.make_archive(p_number bigint) returns void
language plpgsql volatile
as $$
declare
    resting text := outbox.partition_name('archive', p_number);
begin
    if to_regclass(format('outbox.%I', resting)) is not null then
        return;
    end if;
    execute format('create table outbox.%I (like outbox.archive including generated including storage including compression,'
                   ' constraint ids_of_this_partition check (id >= %s and id < %s))',
        resting, p_number * 1000000, (p_number + 1) * 1000000);
    execute format('alter table outbox.archive attach partition outbox.%I for values from (%s) to (%s)',
        resting, p_number * 1000000, (p_number + 1) * 1000000);
end
$$;
-- +goose StatementEnd

-- Moves rows that were sent before p_before to the archive, from p_from on, of
-- one partition or, without a number, of events_default. It looks at p_limit
-- rows and stops when all of them were written since p_before. next is where to go on,
-- null when there is nothing more. Rows that somebody has locked are left, and
-- unsent ones always: they stay where a relay and its settlement look for them.
-- +goose StatementBegin
create function outbox.move_sent(p_number bigint, p_from bigint, p_before timestamptz, p_limit integer)
returns table (outcome text, moved bigint, next bigint)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_sort = off
as $$
declare
    source regclass := to_regclass(format('outbox.%I', coalesce(outbox.partition_name('events', p_number), 'events_default')));
    number bigint := p_number;
    found  boolean;
    looked bigint;
    last   bigint;
    young  boolean;
    columns  text;
    excluded text;
begin
    moved := 0;
    outcome := 'busy';
    if not outbox.try_partitions() then
        return next;
        return;
    end if;
    outcome := 'moved';
    if source is null or p_before > clock_timestamp() then
        return next;
        return;
    end if;
    if number is null then
        execute format('select e.id / 1000000 from %s e where e.id >= $1 order by e.id limit 1', source)
        into number using p_from;
    end if;
    -- A partition that nothing was moved from can go to the archive as a whole.
    execute format('select coalesce(bool_or(s.sent_at < $3), false) from ('
                   'select e.sent_at from %s e where e.id >= $1 and e.id < $2 order by e.id limit $4) as s', source)
    into found using greatest(p_from, number * 1000000), (number + 1) * 1000000, p_before, p_limit;
    if found then
        begin
            perform outbox.make_archive(number);
        exception
            when lock_not_available or deadlock_detected then
                outcome := 'locked';
                return next;
                return;
        end;
    end if;
    select string_agg(format('%I', a.attname), ', ' order by a.attnum), string_agg(format('excluded.%I', a.attname), ', ' order by a.attnum)
    into columns, excluded
    from pg_attribute a
    where a.attrelid = 'outbox.archive'::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = '';
    execute format($move$
        with seen as materialized (
            select e.id, e.created_at >= $3 as young
            from %1$s e
            where e.id >= $1 and e.id < $2
            order by e.id
            limit $4
        ), picked as materialized (
            select e.id
            from %1$s e
            where e.id in (select s.id from seen s) and e.sent_at < $3
            for update skip locked
        ), gone as (
            delete from %1$s e
            where e.id in (select p.id from picked p) and e.sent_at is not null
            returning e.*
        ), kept as (
            insert into outbox.archive (%2$s)
            select %2$s from gone
            -- A row that was archived, and came back to be sent again.
            on conflict (id) do update set (%2$s) = row (%3$s)
            returning 1
        )
        select (select count(*) from kept), count(*), max(s.id), coalesce(bool_and(s.young), false) from seen s
    $move$, source, columns, excluded)
    into moved, looked, last, young
    using greatest(p_from, number * 1000000), (number + 1) * 1000000, p_before, p_limit;
    next := case
        when young then null
        when looked = p_limit then last + 1
        when p_number is null and looked > 0 then (number + 1) * 1000000
    end;
    return next;
end
$$;
-- +goose StatementEnd

-- Drops a closed partition of which all rows were moved. It answers dropped,
-- open, full, gone, locked or busy, and how long writers and relays were kept
-- out.
-- +goose StatementBegin
create function outbox.drop_vacant(p_number bigint) returns table (outcome text, seconds double precision)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
declare
    child  text := outbox.partition_name('events', p_number);
    began  timestamptz := clock_timestamp();
    before text[];
    found  boolean;
begin
    seconds := 0;
    outcome := case
        when not outbox.try_partitions() then 'busy'
        when to_regclass(format('outbox.%I', child)) is null then 'gone'
        when p_number >= (select s.last_value / 1000000 from outbox.events_id_seq s) then 'open'
        else 'locked'
    end;
    if outcome = 'locked' then
        execute format('select exists (select from outbox.%I)', child) into found;
        if found then
            outcome := 'full';
        end if;
    end if;
    -- Looking through what vacuum has left would take as long under the lock.
    if outcome <> 'locked' or clock_timestamp() - began > interval '50 ms' then
        return next;
        return;
    end if;
    before := outbox.holders();
    if before <> '{}' then
        perform pg_sleep(0.02);
        if before && outbox.holders() then
            return next;
            return;
        end if;
    end if;
    began := clock_timestamp();
    begin
        lock table only outbox.events in access exclusive mode;
        execute format('lock table only outbox.%I, outbox.events_default in access exclusive mode nowait', child);
        execute format('select exists (select from outbox.%I)', child) into found;
        outcome := 'full';
        if not found then
            execute format('drop table outbox.%I', child);
            outcome := 'dropped';
        end if;
    exception
        when lock_not_available or deadlock_detected then
            outcome := 'locked';
    end;
    seconds := extract(epoch from clock_timestamp() - began);
    return next;
end
$$;
-- +goose StatementEnd

-- The oldest partitions of the archive. closed: no row can be moved to it any
-- more but those put back under an old id. oldest and newest are when the rows
-- with the lowest and the highest id were sent, null when there is no row.
-- +goose StatementBegin
create function outbox.list_archive(p_limit integer)
returns table (number bigint, closed boolean, oldest timestamptz, newest timestamptz, rows bigint, bytes bigint)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
    current bigint;
    child   regclass;
begin
    select s.last_value / 1000000 into current from outbox.events_id_seq s;
    for child, number, rows, bytes in
        select c.oid::regclass, substring(c.relname from '^archive_p(\d+)$')::bigint as n,
               greatest(c.reltuples, 0)::bigint, pg_total_relation_size(c.oid)
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'outbox.archive'::regclass and c.relname ~ '^archive_p\d+$'
        order by n
        limit p_limit
    loop
        closed := number < current and to_regclass(format('outbox.%I', outbox.partition_name('events', number))) is null;
        execute format('select (select a.sent_at from %1$s a order by a.id limit 1),'
                       ' (select a.sent_at from %1$s a order by a.id desc limit 1)', child)
        into oldest, newest;
        return next;
    end loop;
end
$$;
-- +goose StatementEnd

-- A number for all that a row of the archive holds. Those of many rows are
-- added up, so that rows that were exported can be told from others later.
-- +goose StatementBegin
create function outbox.digest(a outbox.archive) returns bigint
language sql immutable parallel safe
return hashtextextended(concat_ws(chr(31),
    a.id::text, extract(epoch from a.created_at)::text, extract(epoch from a.sent_at)::text, a.event_id::text, a.replays::text,
    a.aggregate_type, a.aggregate_id, a.event_type, a.destination, a.payload::text,
    coalesce(a.replay_of::text, chr(30)), coalesce(a.headers::text, chr(30)), coalesce(a.message_id, chr(30)), coalesce(a.sequence_number, chr(30))), 0);
-- +goose StatementEnd

-- Notes a file. Asked again, it changes nothing.
-- +goose StatementBegin
create function outbox.record_export(
    p_number bigint, p_from bigint, p_to bigint, p_rows bigint, p_digest numeric, p_bytes bigint, p_sha256 text, p_location text
) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
    insert into outbox.exports (number, from_id, to_id, rows, digest, bytes, sha256, location)
    values (p_number, p_from, p_to, p_rows, p_digest, p_bytes, p_sha256, p_location)
    on conflict (location) do update
    set number = excluded.number, from_id = excluded.from_id, to_id = excluded.to_id, rows = excluded.rows, digest = excluded.digest,
        bytes = excluded.bytes, sha256 = excluded.sha256, exported_at = excluded.exported_at, removed_at = null;
end;
-- +goose StatementEnd

-- Forgets the files of a partition whose rows are still there, so that they are
-- written anew. The files themselves stay where they are.
-- +goose StatementBegin
create function outbox.forget_exports(p_number bigint) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
    delete from outbox.exports x where x.number = p_number and x.removed_at is null;
end;
-- +goose StatementEnd

-- Drops a closed partition of the archive of which all rows were sent before
-- p_before. With p_exported each of them must be in a file, as it is. It answers
-- dropped, open, young, changed, gone, locked or busy.
-- +goose StatementBegin
create function outbox.drop_archived(p_number bigint, p_before timestamptz, p_exported boolean) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
declare
    resting text := outbox.partition_name('archive', p_number);
    young   boolean;
    found   record;
    written record;
begin
    if not outbox.try_partitions() then
        return 'busy';
    end if;
    if to_regclass(format('outbox.%I', resting)) is null then
        return 'gone';
    end if;
    if p_number >= (select s.last_value / 1000000 from outbox.events_id_seq s)
       or to_regclass(format('outbox.%I', outbox.partition_name('events', p_number))) is not null then
        return 'open';
    end if;
    -- Nobody adds rows from here on; all may read.
    execute format('lock table only outbox.%I in share mode', resting);
    execute format('select exists (select from outbox.%I where sent_at >= $1)', resting) into young using p_before;
    if young then
        return 'young';
    end if;
    if p_exported then
        execute format('select count(*) as rows, coalesce(sum(outbox.digest(a)), 0) as digest from outbox.archive a where a.id >= $1 and a.id < $2')
        into found using p_number * 1000000, (p_number + 1) * 1000000;
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
    return 'dropped';
exception
    when lock_not_available or deadlock_detected then
        return 'locked';
end
$$;
-- +goose StatementEnd

-- Deletes rows of the archive that were sent before p_before, from p_from to
-- p_to, p_limit at most. With p_exported these must be the rows of one file, as
-- they are; then all of them go or none. It answers deleted, changed or busy.
-- +goose StatementBegin
create function outbox.delete_archived(p_from bigint, p_to bigint, p_before timestamptz, p_limit integer, p_exported boolean)
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
    if not outbox.try_partitions() then
        return next;
        return;
    end if;
    outcome := 'changed';
    if p_exported then
        select x.* into file from outbox.exports x where x.from_id = p_from and x.to_id = p_to and x.removed_at is null;
        -- Each row is locked, and deleted as it was when it was looked at.
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
    outcome := 'deleted';
    return next;
end
$$;
-- +goose StatementEnd

-- Deletes dead letters that died before p_before, the oldest first.
-- +goose StatementBegin
create function outbox.delete_dead_letters(p_before timestamptz, p_limit integer) returns bigint
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
-- +goose StatementEnd

-- Deletes what was noted of redrives before p_before, the oldest first.
-- +goose StatementBegin
create function outbox.delete_redrives(p_before timestamptz, p_limit integer) returns bigint
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
-- +goose StatementEnd

-- Ends the leases of relays that stopped renewing before p_before. Any relay
-- that runs has done so long ago; this is for when none does.
-- +goose StatementBegin
create function outbox.expire_relays(p_before timestamptz) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
as $$
declare
    expired bigint;
begin
    perform pg_advisory_xact_lock(1869968504, 1);
    with lapsed as materialized (
        select r.relay_id from outbox.relays r
        where r.lease_until < least(p_before, clock_timestamp())
        order by r.relay_id
        for update skip locked
    ), gone as (
        delete from outbox.relays r using lapsed l where r.relay_id = l.relay_id
        returning r.relay_id, r.low, r.gaps
    ), freed as (
        update outbox.shards s
        set owner = null,
            covered = false,
            low = case when s.covered then g.low else s.low end,
            gaps = case when s.covered then g.gaps else s.gaps end
        from gone g
        where s.owner = g.relay_id
    )
    select count(*) into expired from gone;
    return expired;
end
$$;
-- +goose StatementEnd

-- Notes that a run of the janitor ended.
-- +goose StatementBegin
create function outbox.end_janitor() returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
    update outbox.janitor set ended_at = clock_timestamp();
end;
-- +goose StatementEnd

-- What an operator should know. Counts stop at p_limit.
-- +goose StatementBegin
create function outbox.health(p_alarm interval, p_limit integer) returns json
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
    at      timestamptz := clock_timestamp();
    current bigint;
    ahead   bigint := 0;
begin
    select s.last_value / 1000000 into current from outbox.events_id_seq s;
    while to_regclass(format('outbox.%I', outbox.partition_name('events', current + ahead))) is not null loop
        ahead := ahead + 1;
    end loop;
    return (
        with unsent as materialized (
            select e.id, e.created_at, e.shard, e.destination, e.aggregate_type, e.aggregate_id
            from outbox.events e
            where e.sent_at is null
            order by e.id
            limit p_limit
        ), positions as materialized (
            select s.shard,
                   case when s.covered then coalesce(r.low, s.low) else s.low end as low,
                   case when s.covered then coalesce(r.gaps, s.gaps) else s.gaps end as gaps
            from outbox.shards s left join outbox.relays r on r.relay_id = s.owner
        ), holders as (
            select 'transaction' as kind, a.backend_xmin as xmin, a.xact_start as since,
                   concat_ws(' ', 'pid', a.pid, a.usename, nullif(a.application_name, ''), a.state) as who
            from pg_stat_activity a
            where a.backend_xmin is not null and a.pid <> pg_backend_pid()
            union all
            select 'prepared transaction', p.transaction, p.prepared, p.gid from pg_prepared_xacts p
            union all
            select 'replication slot', x.xmin, null, s.slot_name
            from pg_replication_slots s cross join lateral (values (s.xmin), (s.catalog_xmin)) as x (xmin)
            where x.xmin is not null
        )
        select json_build_object(
            'now', at,
            'last_run', (select j.ended_at from outbox.janitor j),
            'partitions_ahead', ahead - 1,
            'events_partitions', (select count(*) from pg_inherits i where i.inhparent = 'outbox.events'::regclass) - 1,
            'archive_partitions', (select count(*) from pg_inherits i where i.inhparent = 'outbox.archive'::regclass) - 1,
            'unsent', (select count(*) from unsent),
            'behind', (
                select count(*) from unsent u join positions p on p.shard = u.shard
                where u.id <= p.low and not p.gaps @> u.id and u.created_at < at - interval '1 minute'
                  and not exists (
                      select from outbox.blocked b
                      where (b.destination, b.aggregate_type, b.aggregate_id) = (u.destination, u.aggregate_type, u.aggregate_id))),
            'stale', (select count(*) from unsent u where u.created_at < at - p_alarm),
            'oldest_seconds', coalesce((select extract(epoch from at - min(u.created_at)) from unsent u), 0),
            'default_rows', (select count(*) from (select from outbox.events_default limit p_limit) as d),
            'archive_default_rows', (select count(*) from (select from outbox.archive_default limit p_limit) as d),
            'blocked', (select count(*) from outbox.blocked b where b.released_at is null),
            'blocked_seconds', coalesce((select extract(epoch from at - min(b.blocked_at)) from outbox.blocked b where b.released_at is null), 0),
            'dead', (select count(*) from (select from outbox.dead_letters limit p_limit) as d),
            'dead_seconds', coalesce((select extract(epoch from at - min(d.dead_at)) from (select o.dead_at from outbox.dead_letters o order by o.id limit p_limit) as d), 0),
            'dead_tuples', (
                select coalesce(sum(t.n_dead_tup), 0) from pg_stat_all_tables t
                where t.schemaname = 'outbox' and (t.relname ~ '^events_' or t.relname in ('shards', 'relays'))),
            'live_tuples', (
                select coalesce(sum(t.n_live_tup), 0) from pg_stat_all_tables t
                where t.schemaname = 'outbox' and (t.relname ~ '^events_' or t.relname in ('shards', 'relays'))),
            'last_autovacuum', (
                select max(t.last_autovacuum) from pg_stat_all_tables t where t.schemaname = 'outbox' and t.relname ~ '^events_'),
            'bytes', (
                select coalesce(sum(pg_total_relation_size(i.inhrelid)), 0)::bigint from pg_inherits i where i.inhparent = 'outbox.events'::regclass),
            'archive_bytes', (
                select coalesce(sum(pg_total_relation_size(i.inhrelid)), 0)::bigint from pg_inherits i where i.inhparent = 'outbox.archive'::regclass),
            'xmin', (
                select json_build_object('kind', h.kind, 'who', h.who, 'transactions', age(h.xmin),
                                         'seconds', coalesce(extract(epoch from at - h.since), 0))
                from holders h order by age(h.xmin) desc, h.since limit 1)));
end
$$;
-- +goose StatementEnd

-- What the role outbox_janitor gets. outbox.grant_roles() calls it.
-- +goose StatementBegin
create function outbox.grant_to_janitor() returns void
language plpgsql volatile
as $$
begin
    if exists (select from pg_catalog.pg_roles where rolname = 'outbox_janitor') then
        grant select on outbox.janitor, outbox.exports to outbox_janitor;
        grant execute on function
            outbox.partition_name(text, bigint),
            outbox.sample_ids(),
            outbox.list_events(integer),
            outbox.seal_partition(bigint, timestamptz),
            outbox.validate_partition(bigint),
            outbox.archive_partition(bigint),
            outbox.unseal_partition(bigint),
            outbox.move_sent(bigint, bigint, timestamptz, integer),
            outbox.drop_vacant(bigint),
            outbox.list_archive(integer),
            outbox.digest(outbox.archive),
            outbox.record_export(bigint, bigint, bigint, bigint, numeric, bigint, text, text),
            outbox.forget_exports(bigint),
            outbox.drop_archived(bigint, timestamptz, boolean),
            outbox.delete_archived(bigint, bigint, timestamptz, integer, boolean),
            outbox.delete_dead_letters(timestamptz, integer),
            outbox.delete_redrives(timestamptz, integer),
            outbox.expire_relays(timestamptz),
            outbox.end_janitor(),
            outbox.health(interval, integer)
            to outbox_janitor;
    end if;
    if exists (select from pg_catalog.pg_roles where rolname = 'outbox_relay') then
        grant select on outbox.janitor to outbox_relay;
    end if;
end
$$;
-- +goose StatementEnd

revoke all on all functions in schema outbox from public;

select outbox.grant_to_janitor();
