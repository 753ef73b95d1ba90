-- Renews the lease of a relay, stores its position, ends lapsed leases of others, gives the shards p_release back, takes
-- free ones until the relay owns its share, and deletes the rows of released lanes that the relay has read again. It
-- answers a JSON object with the shards that the relay owns and its released lanes, or null when the lease is lost.
--
-- p_era is the era that the relay knows, 0 when it knows none, and p_recurred says that the relay has found that ids came
-- again. Where the era is another one, positions and lanes to unblock are not stored, and each shard that the relay still
-- owns is its own anew, with a new epoch, to be read from the stored position on.
--
-- p_known_shards and p_known_epochs are the shards that earlier answers named to the relay as owned. Only for those
-- does its position count: the relay knows of no others, so that its position does not allow for their events. Where
-- p_low is 0 and neither a gap nor a lane to unblock is given, the relay has not read yet, and the stored position
-- stays.
create or replace function outbox.renew_relay(
    p_relay        uuid,
    p_era          bigint,
    p_recurred     boolean,
    p_ttl          interval,
    p_relays       integer,
    p_leaving      boolean,
    p_known_shards smallint[],
    p_known_epochs bigint[],
    p_release      smallint[],
    p_low          bigint,
    p_gap_from     bigint[],
    p_gap_to       bigint[],
    p_names        text[],
    p_lows         bigint[],
    p_destinations text[],
    p_types        text[],
    p_ids          text[],
    p_released     timestamptz[]
) returns json
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    at       timestamptz;
    mine     outbox.relays;
    placed   boolean;
    now_is   record;
    active   integer;
    rank     integer;
    owned    integer;
    target   integer := 0;
begin
    perform outbox.lock_leases();
    at := clock_timestamp();
    now_is := outbox.begin_era(nullif(p_era, 0), p_low, p_recurred);
    placed := p_era = now_is.era and (p_low <> 0 or cardinality(p_gap_from) > 0 or cardinality(p_ids) > 0);

    update outbox.relays r
    set lease_until = at + p_ttl,
        leaving = r.leaving or p_leaving,
        low = case when placed then p_low else r.low end,
        gaps = case when placed then outbox.ranges(p_gap_from, p_gap_to) else r.gaps end,
        destinations = case when placed then p_names else r.destinations end,
        lows = case when placed then p_lows else r.lows end
    where r.relay_id = p_relay
    returning r.* into mine;
    if not found then
        return null;
    end if;

    update outbox.shards s
    set covered = true
    from unnest(p_known_shards, p_known_epochs) as k (shard, epoch)
    where placed and s.owner = p_relay and not s.covered and s.shard = k.shard and s.epoch = k.epoch;

    -- A relay whose row is locked is settling or renewing, and its lease is not
    -- taken over this time.
    with lapsed as materialized (
        select r.relay_id from outbox.relays r
        where r.lease_until < at and r.relay_id <> p_relay
        order by r.relay_id
        for update skip locked
    ), gone as (
        delete from outbox.relays r using lapsed l where r.relay_id = l.relay_id
        returning r.relay_id, r.low, r.gaps, r.destinations, r.lows
    )
    update outbox.shards s
    set owner = null,
        covered = false,
        low = case when s.covered then g.low else s.low end,
        gaps = case when s.covered then g.gaps else s.gaps end,
        destinations = case when s.covered then g.destinations else s.destinations end,
        lows = case when s.covered then g.lows else s.lows end
    from gone g
    where s.owner = g.relay_id;

    if cardinality(p_release) > 0 then
        update outbox.shards s
        set owner = null,
            covered = false,
            low = case when s.covered then mine.low else s.low end,
            gaps = case when s.covered then mine.gaps else s.gaps end,
            destinations = case when s.covered then mine.destinations else s.destinations end,
            lows = case when s.covered then mine.lows else s.lows end
        from unnest(p_known_shards, p_known_epochs) as k (shard, epoch)
        where s.owner = p_relay and s.shard = k.shard and s.epoch = k.epoch and s.shard = any (p_release);
    end if;

    if p_era <> now_is.era then
        update outbox.shards s
        set epoch = s.epoch + 1,
            covered = false,
            low = case when s.covered then mine.low else s.low end,
            gaps = case when s.covered then mine.gaps else s.gaps end,
            destinations = case when s.covered then mine.destinations else s.destinations end,
            lows = case when s.covered then mine.lows else s.lows end
        where s.owner = p_relay;
    end if;

    -- The youngest relays share the work, as many as p_relays says.
    select count(*), count(*) filter (where (r.started_at, r.relay_id) >= (me.started_at, me.relay_id))
    into active, rank
    from outbox.relays r, (select m.started_at, m.relay_id from outbox.relays m where m.relay_id = p_relay) as me
    where r.lease_until >= at and not r.leaving;
    if not mine.leaving and rank <= p_relays then
        target := ceil(64.0 / least(active, p_relays));
    end if;

    select count(*) into owned from outbox.shards s where s.owner = p_relay;
    if owned < target then
        with free as materialized (
            select s.shard from outbox.shards s
            where s.owner is null or not exists (select from outbox.relays r where r.relay_id = s.owner)
            order by s.shard
            limit target - owned
            for update skip locked
        )
        update outbox.shards s
        set owner = p_relay, epoch = s.epoch + 1, covered = false, acquired_at = at
        from free f
        where s.shard = f.shard;
    end if;

    if cardinality(p_ids) > 0 and p_era = now_is.era then
        with resumed as materialized (
            select b.destination, b.aggregate_type, b.aggregate_id
            from outbox.blocked b
            join unnest(p_destinations, p_types, p_ids, p_released) as l (destination, aggregate_type, aggregate_id, released_at)
                on (l.destination, l.aggregate_type, l.aggregate_id) = (b.destination, b.aggregate_type, b.aggregate_id)
            join outbox.shards s on s.shard = b.shard and s.owner = p_relay
            where b.released_at = l.released_at
            order by b.destination, b.aggregate_type, b.aggregate_id
            for update of b skip locked
        )
        delete from outbox.blocked b
        using resumed r
        where (b.destination, b.aggregate_type, b.aggregate_id) = (r.destination, r.aggregate_type, r.aggregate_id);
    end if;

    return json_build_object(
        'now', at,
        'target', target,
        'era', now_is.era,
        'last_id', now_is.last_id,
        'begun', now_is.begun,
        'shards', (
            -- The relay has taken in the positions of the shards that it knows.
            select coalesce(json_agg(case
                when k.shard is null then json_build_object(
                    'shard', s.shard, 'epoch', s.epoch, 'low', s.low,
                    'gaps', (
                        select coalesce(json_agg(json_build_array(lower(g), upper(g) - 1) order by g), '[]')
                        from unnest(s.gaps) as g),
                    'lows', (
                        select coalesce(json_object_agg(d.name, d.low), '{}')
                        from unnest(s.destinations, s.lows) as d (name, low)))
                else json_build_object('shard', s.shard, 'epoch', s.epoch)
            end order by s.shard), '[]')
            from outbox.shards s
            left join unnest(p_known_shards, p_known_epochs) as k (shard, epoch)
                on k.shard = s.shard and k.epoch = s.epoch and p_era = now_is.era
            where s.owner = p_relay),
        'released', (
            select coalesce(json_agg(json_build_object(
                'destination', l.destination, 'aggregate_type', l.aggregate_type, 'aggregate_id', l.aggregate_id,
                'shard', l.shard, 'first_id', l.first_id, 'released_at', l.released_at) order by l.first_id), '[]')
            from (
                -- At most 100 of each destination, so that the lanes of one that
                -- the relay is not configured for do not crowd out the others.
                -- Lanes that the relay names and that still have a row come in
                -- any case.
                select b.*,
                       row_number() over (partition by b.destination order by b.first_id) as place,
                       (b.destination, b.aggregate_type, b.aggregate_id) in (
                           select r.destination, r.aggregate_type, r.aggregate_id
                           from unnest(p_destinations, p_types, p_ids) as r (destination, aggregate_type, aggregate_id)
                       ) as asked
                from outbox.blocked b
                join outbox.shards s on s.shard = b.shard and s.owner = p_relay
                where b.released_at is not null
            ) as l
            where l.place <= 100 or l.asked));
end
$$;

select outbox.grant_function('renew_relay', '{outbox_relay}');
