-- +goose Up

-- What was redriven and replayed, and what it had died with. Rows are only
-- added, and removed when they are old. row_id is the row as it was written
-- first, copy_id the row that a replay made of it.
create table outbox.redrives (
    redrive_id  bigint generated always as identity,
    redriven_at timestamptz not null default clock_timestamp(),
    row_id      bigint not null,
    copy_id     bigint,
    event_id    uuid not null,
    generation  integer not null,
    attempts    integer,
    source      text not null,
    request_id  text not null,
    destination text not null,
    code        text,
    reason      text,
    constraint redrives_pkey primary key (redrive_id),
    constraint source_is_dead_letters_blocked_or_replay check (source in ('dead_letters', 'blocked', 'replay'))
);

create index redrives_event_id_idx on outbox.redrives (event_id);

-- For the order of what died of one aggregate. A hash, because the names
-- themselves may be too long for an index.
create index dead_letters_aggregate_idx on outbox.dead_letters
    (hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)), id);

-- Replays and how far they are. First the events are searched for, from through
-- on up to last_id, and listed in outbox.replay_events; then each is copied and
-- taken off the list in one transaction, so that none is copied twice.
create table outbox.replays (
    replay_id      uuid not null,
    created_at     timestamptz not null default clock_timestamp(),
    searched_at    timestamptz,
    ended_at       timestamptz,
    created_from   timestamptz,
    created_to     timestamptz,
    through        bigint not null,
    last_id        bigint not null,
    found          bigint not null default 0,
    copied         bigint not null default 0,
    failed         bigint not null default 0,
    interleave     boolean not null,
    request_id     text not null,
    redirect       text,
    event_ids      uuid[],
    destination    text,
    aggregate_type text,
    aggregate_id   text,
    event_type     text,
    constraint replays_pkey primary key (replay_id)
);

create table outbox.replay_events (
    id        bigint not null,
    aggregate bigint not null,
    replay_id uuid not null,
    constraint replay_events_pkey primary key (replay_id, id),
    constraint replay_events_replay_id_fkey foreign key (replay_id) references outbox.replays on delete cascade
);

create index replay_events_aggregate_idx on outbox.replay_events (replay_id, aggregate, id);

-- The generation that an event goes out in next: above all that it had.
create function outbox.next_generation(p_event uuid) returns integer
language sql stable
set search_path = pg_catalog, pg_temp
return (
    select coalesce(max(g.replays), 0) + 1
    from (
        select e.replays from outbox.events e where e.event_id = p_event
        union all
        select a.replays from outbox.archive a where a.event_id = p_event
        union all
        select d.replays from outbox.dead_letters d where d.event_id = p_event
    ) as g);

-- Puts a dead letter back under its old id, releases its lane and notes it. The
-- caller has locked the dead letter. It answers:
--   redriven   it is pending again
--   archiving  its partition is about to be archived: try again
--   refused    the row as it is now breaks a rule of outbox.events
--
-- The row is behind the position of the relay that holds the shard. The release
-- makes that relay read the lane again from its first event on, before anything
-- else of it. A lane that is on hold for another event stays on hold.
-- +goose StatementBegin
create function outbox.put_back(d outbox.dead_letters, p_redirect text, p_source text, p_request text) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    target     text := coalesce(p_redirect, d.destination);
    generation integer := outbox.next_generation(d.event_id);
    violated   text;
begin
    begin
        insert into outbox.events (
            id, created_at, replay_of, event_id, replays, aggregate_type, aggregate_id, event_type,
            destination, payload, headers)
        overriding system value
        values (
            d.id, d.created_at, d.replay_of, d.event_id, generation, d.aggregate_type, d.aggregate_id, d.event_type,
            target, d.payload, d.headers);
    exception
        when check_violation or not_null_violation or unique_violation then
            get stacked diagnostics violated = constraint_name;
            return case when violated = 'being_archived' then 'archiving' else 'refused' end;
    end;
    delete from outbox.dead_letters x where x.id = d.id;

    -- No two releases of a lane have the same time: it tells them apart.
    insert into outbox.blocked as b (
        first_id, released_at, event_id, shard, destination, aggregate_type, aggregate_id, reason)
    values (d.id, clock_timestamp(), d.event_id, d.shard, target, d.aggregate_type, d.aggregate_id, 'redriven')
    on conflict (destination, aggregate_type, aggregate_id) do update
    set first_id = least(b.first_id, excluded.first_id),
        released_at = case
            when b.released_at is not null then greatest(excluded.released_at, b.released_at + interval '1 microsecond')
            when b.event_id = excluded.event_id then excluded.released_at
        end;

    insert into outbox.redrives (
        row_id, event_id, generation, attempts, source, request_id, destination, code, reason)
    values (d.id, d.event_id, generation, d.attempts, p_source, p_request, target, d.code, d.reason);
    return 'redriven';
end
$$;
-- +goose StatementEnd

-- Whether a dead letter passes the filters. One that is null lets all pass.
create function outbox.passes(
    d outbox.dead_letters,
    p_event_ids uuid[], p_destination text, p_type text, p_id text, p_event_type text,
    p_from timestamptz, p_to timestamptz, p_id_from bigint, p_id_to bigint
) returns boolean
language sql immutable
return (p_event_ids is null or d.event_id = any (p_event_ids))
   and (p_destination is null or d.destination = p_destination)
   and (p_type is null or d.aggregate_type = p_type)
   and (p_id is null or d.aggregate_id = p_id)
   and (p_event_type is null or d.event_type = p_event_type)
   and (p_from is null or d.created_at >= p_from)
   and (p_to is null or d.created_at < p_to)
   and (p_id_from is null or d.id >= p_id_from)
   and (p_id_to is null or d.id <= p_id_to);

-- Puts dead letters back, in the order of their ids, in one transaction: of the
-- next p_limit that match, those that do not break the order of their aggregate,
-- and with p_confirm all. Order is kept when the lane is on hold for the event,
-- nothing of it died earlier, and it goes where it was to go. A lane ends at the
-- first that could not be put back. Besides the outcomes of put_back it answers:
--   unconfirmed  it would break the order
--   behind       an earlier one of its lane, asked for as well, is still dead
--   gone         somebody else put it back, or removed it
-- With p_dry_run nothing is changed.
--
-- Dead letters are locked in the order of their ids, so that two calls do not
-- wait for each other in a circle; the second finds what the first left.
-- +goose StatementBegin
create function outbox.redrive_dead_letters(
    p_request text, p_after bigint, p_limit integer, p_redirect text, p_confirm boolean, p_dry_run boolean,
    p_event_ids uuid[], p_destination text, p_type text, p_id text, p_event_type text,
    p_from timestamptz, p_to timestamptz, p_id_from bigint, p_id_to bigint
)
returns table (
    id bigint, event_id uuid, destination text, aggregate_type text, aggregate_id text, outcome text, ordered boolean
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    picked  bigint[];
    d       outbox.dead_letters;
    earlier bigint;
    wanted  bigint;
begin
    picked := array(
        select x.id from outbox.dead_letters x
        where x.id > p_after
          and outbox.passes(x, p_event_ids, p_destination, p_type, p_id, p_event_type, p_from, p_to, p_id_from, p_id_to)
        order by x.id
        limit p_limit);
    for d in select x.* from outbox.dead_letters x where x.id = any (picked) order by x.id for update loop
        id := d.id;
        event_id := d.event_id;
        destination := d.destination;
        aggregate_type := d.aggregate_type;
        aggregate_id := d.aggregate_id;
        select count(*), count(*) filter (where outbox.passes(
            x, p_event_ids, p_destination, p_type, p_id, p_event_type, p_from, p_to, p_id_from, p_id_to))
        into earlier, wanted
        from outbox.dead_letters x
        where hashtextextended(x.aggregate_id, hashtextextended(x.aggregate_type, 0))
            = hashtextextended(d.aggregate_id, hashtextextended(d.aggregate_type, 0))
          and x.id < d.id
          and (x.destination, x.aggregate_type, x.aggregate_id) = (d.destination, d.aggregate_type, d.aggregate_id);
        ordered := coalesce(p_redirect, d.destination) = d.destination
            and exists (
                select from outbox.blocked b
                where (b.destination, b.aggregate_type, b.aggregate_id) = (d.destination, d.aggregate_type, d.aggregate_id)
                  and b.event_id = d.event_id)
            and earlier = 0;
        outcome := case
            when not ordered and not p_confirm then 'unconfirmed'
            when p_dry_run then 'redriven'
            when wanted > 0 then 'behind'
            else outbox.put_back(d, p_redirect, 'dead_letters', p_request)
        end;
        return next;
    end loop;
    -- What others redrove meanwhile was looked at as well.
    if cardinality(picked) > 0 and id is distinct from picked[cardinality(picked)] then
        id := picked[cardinality(picked)];
        event_id := null;
        destination := null;
        aggregate_type := null;
        aggregate_id := null;
        outcome := 'gone';
        ordered := null;
        return next;
    end if;
end
$$;
-- +goose StatementEnd

-- Takes lanes off hold, in the order of their first events, in one transaction:
-- the next p_limit that match, and those that begin with the same id. The dead
-- event that the lane is on hold for goes back first; with p_skip it stays dead
-- and the lane goes on without it. Besides the outcomes of put_back it answers
-- released where there is no such dead letter, or it is skipped, and gone where
-- somebody else was faster.
-- +goose StatementBegin
create function outbox.release_blocked(
    p_request text, p_after bigint, p_limit integer, p_skip boolean, p_dry_run boolean,
    p_event_ids uuid[], p_destination text, p_type text, p_id text, p_event_type text,
    p_from timestamptz, p_to timestamptz, p_id_from bigint, p_id_to bigint
)
returns table (
    id bigint, event_id uuid, destination text, aggregate_type text, aggregate_id text, outcome text, ordered boolean
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    picked outbox.blocked;
    hold   outbox.blocked;
    d      outbox.dead_letters;
    held   boolean;
begin
    for picked in
        select b.* from outbox.blocked b
        where b.released_at is null
          and b.first_id > p_after
          and (p_event_ids is null or b.event_id = any (p_event_ids))
          and (p_destination is null or b.destination = p_destination)
          and (p_type is null or b.aggregate_type = p_type)
          and (p_id is null or b.aggregate_id = p_id)
          and (p_id_from is null or b.first_id >= p_id_from)
          and (p_id_to is null or b.first_id <= p_id_to)
          and (p_event_type is null and p_from is null and p_to is null or exists (
              select from outbox.dead_letters x
              where x.event_id = b.event_id
                and (p_event_type is null or x.event_type = p_event_type)
                and (p_from is null or x.created_at >= p_from)
                and (p_to is null or x.created_at < p_to)))
        order by b.first_id
        fetch first (p_limit) rows with ties
    loop
        id := picked.first_id;
        event_id := picked.event_id;
        destination := picked.destination;
        aggregate_type := picked.aggregate_type;
        aggregate_id := picked.aggregate_id;
        -- First the dead letter, then the hold: as redrive_dead_letters does.
        select x.* into d from outbox.dead_letters x
        where x.event_id = picked.event_id
          and (x.destination, x.aggregate_type, x.aggregate_id) = (picked.destination, picked.aggregate_type, picked.aggregate_id)
        order by x.id
        limit 1
        for update;
        held := found;
        select b.* into hold from outbox.blocked b
        where (b.destination, b.aggregate_type, b.aggregate_id) = (picked.destination, picked.aggregate_type, picked.aggregate_id)
          and b.event_id = picked.event_id and b.released_at is null
        for update;
        ordered := held and not p_skip;
        outcome := case
            when not found then 'gone'
            when held and not p_skip and p_dry_run then 'redriven'
            when held and not p_skip then outbox.put_back(d, null, 'blocked', p_request)
            else 'released'
        end;
        if outcome = 'released' and not p_dry_run then
            update outbox.blocked b set released_at = clock_timestamp()
            where (b.destination, b.aggregate_type, b.aggregate_id) = (hold.destination, hold.aggregate_type, hold.aggregate_id);
        end if;
        return next;
    end loop;
end
$$;
-- +goose StatementEnd

-- Looks at the next p_limit rows in the order of their ids, and says which of
-- them a replay wants: sent before p_before, and no copies of a replay.
-- +goose StatementBegin
create function outbox.search_replay(
    p_after bigint, p_until bigint, p_before timestamptz, p_limit integer,
    p_destination text, p_type text, p_id text, p_event_type text, p_from timestamptz, p_to timestamptz
)
returns table (id bigint, aggregate bigint, wanted boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
#variable_conflict use_column
begin
    return query
    select r.id,
           hashtextextended(r.aggregate_id, hashtextextended(r.aggregate_type, 0)),
           r.sent_at < p_before
               and r.replay_of is null
               and (p_destination is null or r.destination = p_destination)
               and (p_type is null or r.aggregate_type = p_type)
               and (p_id is null or r.aggregate_id = p_id)
               and (p_event_type is null or r.event_type = p_event_type)
               and (p_from is null or r.created_at >= p_from)
               and (p_to is null or r.created_at < p_to)
    from (
        (select e.id, e.created_at, e.sent_at, e.replay_of, e.aggregate_type, e.aggregate_id, e.event_type, e.destination
         from outbox.events e
         where e.id > p_after and e.id <= p_until
         order by e.id
         limit p_limit)
        union all
        (select a.id, a.created_at, a.sent_at, a.replay_of, a.aggregate_type, a.aggregate_id, a.event_type, a.destination
         from outbox.archive a
         where a.id > p_after and a.id <= p_until
         order by a.id
         limit p_limit)
    ) as r
    order by r.id
    limit p_limit;
end
$$;
-- +goose StatementEnd

-- The rows of some events that a replay may copy.
-- +goose StatementBegin
create function outbox.find_sent(p_event_ids uuid[], p_before timestamptz)
returns table (
    id bigint, created_at timestamptz, event_id uuid, aggregate_type text, aggregate_id text, event_type text, destination text
)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select e.id, e.created_at, e.event_id, e.aggregate_type, e.aggregate_id, e.event_type, e.destination
    from outbox.events e
    where e.event_id = any (p_event_ids) and e.sent_at < p_before and e.replay_of is null
    union all
    select a.id, a.created_at, a.event_id, a.aggregate_type, a.aggregate_id, a.event_type, a.destination
    from outbox.archive a
    where a.event_id = any (p_event_ids) and a.sent_at < p_before and a.replay_of is null;
end;
-- +goose StatementEnd

-- How many rows a search would find among the next p_limit, and where to go on:
-- null at the end.
-- +goose StatementBegin
create function outbox.count_replay(
    p_after bigint, p_limit integer,
    p_event_ids uuid[], p_destination text, p_type text, p_id text, p_event_type text,
    p_from timestamptz, p_to timestamptz, p_id_from bigint, p_id_to bigint
)
returns table (found bigint, next bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_event_ids is not null then
        return query
        select count(*), null::bigint
        from outbox.find_sent(p_event_ids, clock_timestamp()) s
        where (p_destination is null or s.destination = p_destination)
          and (p_type is null or s.aggregate_type = p_type)
          and (p_id is null or s.aggregate_id = p_id)
          and (p_event_type is null or s.event_type = p_event_type)
          and (p_from is null or s.created_at >= p_from)
          and (p_to is null or s.created_at < p_to)
          and (p_id_from is null or s.id >= p_id_from)
          and (p_id_to is null or s.id <= p_id_to);
        return;
    end if;
    return query
    select count(*) filter (where s.wanted), case when count(*) = p_limit then max(s.id) end
    from outbox.search_replay(
        greatest(p_after, p_id_from - 1), coalesce(p_id_to, 9223372036854775807), clock_timestamp(), p_limit,
        p_destination, p_type, p_id, p_event_type, p_from, p_to) s;
end
$$;
-- +goose StatementEnd

-- Begins a replay of what has been sent by now. Asked again with the same id it
-- changes nothing, so that a replay has the filters that it began with.
-- +goose StatementBegin
create function outbox.start_replay(
    p_replay uuid, p_request text, p_redirect text, p_interleave boolean,
    p_event_ids uuid[], p_destination text, p_type text, p_id text, p_event_type text,
    p_from timestamptz, p_to timestamptz, p_id_from bigint, p_id_to bigint
) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into outbox.replays (
        replay_id, request_id, redirect, interleave, event_ids, destination, aggregate_type, aggregate_id, event_type,
        created_from, created_to, through, last_id)
    select p_replay, p_request, p_redirect, p_interleave, p_event_ids, p_destination, p_type, p_id, p_event_type,
           p_from, p_to, coalesce(p_id_from, 1) - 1, least(s.last_value, p_id_to)
    from outbox.events_id_seq s
    on conflict (replay_id) do nothing;
    return found;
end
$$;
-- +goose StatementEnd

-- Goes on with the search of a replay by p_limit rows. It returns the replay as
-- it is then, and nothing when there is no such replay.
-- +goose StatementBegin
create function outbox.find_replay(p_replay uuid, p_limit integer) returns setof outbox.replays
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    r      outbox.replays;
    looked bigint;
    last   bigint;
    listed bigint;
begin
    select x.* into r from outbox.replays x where x.replay_id = p_replay for update;
    if not found or r.searched_at is not null then
        return query select x.* from outbox.replays x where x.replay_id = p_replay;
        return;
    end if;
    if r.event_ids is not null then
        insert into outbox.replay_events (replay_id, id, aggregate)
        select p_replay, s.id, hashtextextended(s.aggregate_id, hashtextextended(s.aggregate_type, 0))
        from outbox.find_sent(r.event_ids, r.created_at) s
        where s.id > r.through and s.id <= r.last_id
          and (r.destination is null or s.destination = r.destination)
          and (r.aggregate_type is null or s.aggregate_type = r.aggregate_type)
          and (r.aggregate_id is null or s.aggregate_id = r.aggregate_id)
          and (r.event_type is null or s.event_type = r.event_type)
          and (r.created_from is null or s.created_at >= r.created_from)
          and (r.created_to is null or s.created_at < r.created_to);
        get diagnostics listed = row_count;
        last := r.last_id;
    else
        with page as materialized (
            select s.* from outbox.search_replay(
                r.through, r.last_id, r.created_at, p_limit,
                r.destination, r.aggregate_type, r.aggregate_id, r.event_type, r.created_from, r.created_to) s
        ), added as (
            insert into outbox.replay_events (replay_id, id, aggregate)
            select p_replay, p.id, p.aggregate from page p where p.wanted
            returning 1
        )
        select (select count(*) from page), (select max(p.id) from page p), (select count(*) from added)
        into looked, last, listed;
        if looked < p_limit then
            last := r.last_id;
        end if;
    end if;
    return query
    update outbox.replays x
    set through = last,
        found = x.found + listed,
        searched_at = case when last >= r.last_id then clock_timestamp() end
    where x.replay_id = p_replay
    returning x.*;
end
$$;
-- +goose StatementEnd

-- Copies the next events of a replay that was searched for, of one aggregate, in
-- one transaction that writers of the aggregate wait for, and takes them off the
-- list. Without interleave those are all that the replay has of the aggregate,
-- p_limit at most; with it, those that come next until another aggregate does.
-- The copies have new ids, in the order of the old ones, and the next generation
-- of their events. outcome:
--   copied   count events were copied
--   gone     count events are neither in outbox.events nor in the archive any more
--   large    the aggregate has more than p_limit events, count: none is copied
--   ended    nothing is left
--   search   the search is not over
--   missing  there is no such replay
-- +goose StatementBegin
create function outbox.copy_replay(p_replay uuid, p_limit integer)
returns table (outcome text, count bigint, aggregate_type text, aggregate_id text, event_id uuid)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    r     outbox.replays;
    head  outbox.replay_events;
    ids   bigint[];
    whose record;
begin
    count := 0;
    select x.* into r from outbox.replays x where x.replay_id = p_replay for update;
    if not found or r.searched_at is null then
        outcome := case when r.replay_id is null then 'missing' else 'search' end;
        return next;
        return;
    end if;
    select t.* into head from outbox.replay_events t where t.replay_id = p_replay order by t.id limit 1;
    if not found then
        update outbox.replays x set ended_at = coalesce(x.ended_at, clock_timestamp()) where x.replay_id = p_replay;
        outcome := 'ended';
        return next;
        return;
    end if;

    select o.aggregate_type, o.aggregate_id, o.event_id into whose
    from (
        select e.aggregate_type, e.aggregate_id, e.event_id from outbox.events e where e.id = head.id
        union all
        select a.aggregate_type, a.aggregate_id, a.event_id from outbox.archive a where a.id = head.id
    ) as o;
    if not found then
        delete from outbox.replay_events t where t.replay_id = p_replay and t.id = head.id;
        update outbox.replays x set failed = x.failed + 1 where x.replay_id = p_replay;
        outcome := 'gone';
        count := 1;
        return next;
        return;
    end if;
    aggregate_type := whose.aggregate_type;
    aggregate_id := whose.aggregate_id;
    event_id := whose.event_id;

    if r.interleave then
        ids := array(
            select t.id
            from (
                select n.id, n.aggregate, bool_and(n.aggregate = head.aggregate) over (order by n.id) as same
                from (
                    select x.id, x.aggregate from outbox.replay_events x
                    where x.replay_id = p_replay order by x.id limit p_limit) as n
            ) as t
            where t.same
            order by t.id);
    else
        ids := array(
            select t.id from outbox.replay_events t
            where t.replay_id = p_replay and t.aggregate = head.aggregate
            order by t.id
            limit p_limit + 1);
        if cardinality(ids) > p_limit then
            delete from outbox.replay_events t where t.replay_id = p_replay and t.aggregate = head.aggregate;
            get diagnostics count = row_count;
            update outbox.replays x set failed = x.failed + count where x.replay_id = p_replay;
            outcome := 'large';
            return next;
            return;
        end if;
    end if;

    -- The ids of the copies are drawn under this lock, as those of new events.
    perform outbox.lock_aggregate(whose.aggregate_type, whose.aggregate_id);
    with originals as materialized (
        select e.id, e.event_id, e.aggregate_type, e.aggregate_id, e.event_type, e.destination, e.payload, e.headers
        from outbox.events e where e.id = any (ids)
        union all
        select a.id, a.event_id, a.aggregate_type, a.aggregate_id, a.event_type, a.destination, a.payload, a.headers
        from outbox.archive a where a.id = any (ids)
    ), mine as materialized (
        select o.*,
               outbox.next_generation(o.event_id) - 1
                   + row_number() over (partition by o.event_id order by o.id) as generation
        from originals o
        where o.aggregate_type = whose.aggregate_type and o.aggregate_id = whose.aggregate_id
    ), copies as (
        insert into outbox.events as e (
            replay_of, event_id, replays, aggregate_type, aggregate_id, event_type, destination, payload, headers)
        select m.id, m.event_id, m.generation, m.aggregate_type, m.aggregate_id, m.event_type,
               coalesce(r.redirect, m.destination), m.payload, m.headers
        from mine m
        order by m.id
        returning e.id, e.replay_of, e.event_id, e.replays, e.destination
    ), noted as (
        insert into outbox.redrives (row_id, copy_id, event_id, generation, source, request_id, destination)
        select c.replay_of, c.id, c.event_id, c.replays, 'replay', r.request_id, c.destination
        from copies c
        order by c.id
    ), listed as (
        delete from outbox.replay_events t using copies c where t.replay_id = p_replay and t.id = c.replay_of
    )
    select count(*) from copies into count;
    update outbox.replays x set copied = x.copied + count where x.replay_id = p_replay;
    outcome := 'copied';
    return next;
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create function outbox.grant_to_redrive() returns void
language plpgsql volatile
as $$
begin
    if exists (select from pg_catalog.pg_roles where rolname = 'outbox_redrive') then
        grant usage on schema outbox to outbox_redrive;
        grant select on outbox.events, outbox.archive, outbox.dead_letters, outbox.blocked, outbox.redrives,
            outbox.replays, outbox.replay_events, outbox.relays, outbox.shards, outbox.migrations, outbox.events_id_seq
            to outbox_redrive;
        grant execute on function
            outbox.redrive_dead_letters(text, bigint, integer, text, boolean, boolean, uuid[], text, text, text, text, timestamptz, timestamptz, bigint, bigint),
            outbox.release_blocked(text, bigint, integer, boolean, boolean, uuid[], text, text, text, text, timestamptz, timestamptz, bigint, bigint),
            outbox.count_replay(bigint, integer, uuid[], text, text, text, text, timestamptz, timestamptz, bigint, bigint),
            outbox.start_replay(uuid, text, text, boolean, uuid[], text, text, text, text, timestamptz, timestamptz, bigint, bigint),
            outbox.find_replay(uuid, integer),
            outbox.copy_replay(uuid, integer)
            to outbox_redrive;
    end if;
    if exists (select from pg_catalog.pg_roles where rolname = 'outbox_relay') then
        grant select on outbox.redrives to outbox_relay;
    end if;
end
$$;
-- +goose StatementEnd

revoke all on all functions in schema outbox from public;

select outbox.grant_to_redrive();
