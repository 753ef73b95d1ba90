-- Enters a relay into outbox.relays, with a lease of p_ttl from now and without shards, and answers true; or false when
-- p_relays others have a lease, are not leaving and are to run for longer than p_window from now on. Called again with
-- the same id, as after an answer that got lost, it extends the lease. It raises an error under an isolation level other
-- than read committed, under which the statements of a fetch would share one snapshot.
create or replace function outbox.join_relay(
    p_relay uuid, p_name text, p_ttl interval, p_run_for interval, p_window interval, p_relays integer
) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    at timestamptz;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'the relay needs the isolation level read committed, the session has %',
            current_setting('transaction_isolation')
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'alter role <the relay''s login> set default_transaction_isolation = ''read committed''';
    end if;
    perform outbox.lock_leases();
    at := clock_timestamp();
    if (select count(*) from outbox.relays r
        where r.relay_id <> p_relay and not r.leaving
          and r.lease_until > at and r.run_until > at + p_window) >= p_relays then
        return false;
    end if;
    insert into outbox.relays (relay_id, name, started_at, run_until, lease_until)
    values (p_relay, p_name, at, at + p_run_for, at + p_ttl)
    on conflict (relay_id) do update set lease_until = excluded.lease_until;
    return true;
end
$$;

select outbox.grant_function('join_relay', '{outbox_relay}');
