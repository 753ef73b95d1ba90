-- Ends the lease of a relay, which knows the era p_era, and frees its shards. Shards among p_known_shards, with their epochs,
-- keep p_low, the gaps and what p_lows[i] says of the destination p_names[i] as the position for their next owner. A position
-- of another era is not stored. Where p_low is 0 and there is no gap, the relay has read nothing, and positions
-- that are stored stay. It answers false when the relay has no lease.
create or replace function outbox.leave_relay(
    p_relay        uuid,
    p_era          bigint,
    p_known_shards smallint[],
    p_known_epochs bigint[],
    p_low          bigint,
    p_gap_from     bigint[],
    p_gap_to       bigint[],
    p_names        text[],
    p_lows         bigint[]
) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    last   outbox.relays;
    placed boolean;
begin
    perform outbox.lock_leases();
    placed := p_era = outbox.current_era() and p_low <= outbox.last_id() and (p_low <> 0 or cardinality(p_gap_from) > 0);
    delete from outbox.relays r where r.relay_id = p_relay returning r.* into last;
    if not found then
        return false;
    end if;
    if placed then
        last.low := p_low;
        last.gaps := outbox.ranges(p_gap_from, p_gap_to);
        last.destinations := p_names;
        last.lows := p_lows;
    end if;
    with owned as (
        select s.shard,
               s.covered or placed and exists (
                   select from unnest(p_known_shards, p_known_epochs) as k (shard, epoch)
                   where k.shard = s.shard and k.epoch = s.epoch) as covered
        from outbox.shards s
        where s.owner = p_relay
    )
    update outbox.shards s
    set owner = null,
        covered = false,
        low = case when o.covered then last.low else s.low end,
        gaps = case when o.covered then last.gaps else s.gaps end,
        destinations = case when o.covered then last.destinations else s.destinations end,
        lows = case when o.covered then last.lows else s.lows end
    from owned o
    where s.shard = o.shard;
    return true;
end
$$;

select outbox.grant_function('leave_relay', '{outbox_relay}');
