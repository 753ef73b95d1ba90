-- Deletes relays whose lease lapsed before p_before, frees their shards and answers how many relays it deleted. A relay
-- that renews its own lease does the same to others; this function is for the time when no relay runs.
create or replace function outbox.expire_relays(p_before timestamptz) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
as $$
declare
    expired bigint;
begin
    perform outbox.lock_leases();
    with lapsed as materialized (
        select r.relay_id from outbox.relays r
        where r.lease_until < least(p_before, clock_timestamp())
        order by r.relay_id
        for update skip locked
    ), gone as (
        delete from outbox.relays r using lapsed l where r.relay_id = l.relay_id
        returning r.relay_id, r.low, r.gaps, r.destinations, r.lows
    ), freed as (
        update outbox.shards s
        set owner = null,
            covered = false,
            low = case when s.covered then g.low else s.low end,
            gaps = case when s.covered then g.gaps else s.gaps end,
            destinations = case when s.covered then g.destinations else s.destinations end,
            lows = case when s.covered then g.lows else s.lows end
        from gone g
        where s.owner = g.relay_id
    )
    select count(*) into expired from gone;
    return expired;
end
$$;

select outbox.grant_function('expire_relays', '{outbox_janitor}');
