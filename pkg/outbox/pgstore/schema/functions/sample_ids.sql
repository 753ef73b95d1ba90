-- Returns the number of the partition in use, and in ids_per_second the highest recent rate at which ids were drawn. It
-- measures the rate when the last measurement is a minute old or more. The stored rate, halved for every six hours since
-- it was measured, counts while it is higher than the new one.
create or replace function outbox.sample_ids() returns table (sampled_at timestamptz, current bigint, ids_per_second double precision)
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
    return query select at, drawn / outbox.partition_size(), mine.ids_per_second;
end
$$;

select outbox.grant_function('sample_ids', '{outbox_janitor}');
