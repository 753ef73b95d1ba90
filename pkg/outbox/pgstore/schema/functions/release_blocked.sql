-- Releases blocked lanes, in the order of first_id, in one transaction: the next p_limit that pass the filters, with
-- first_id above p_after, and those with the same first_id as the last. The dead letter that a lane is blocked behind goes
-- back first; with p_skip it stays a dead letter, and the lane goes on without it. Besides the outcomes of put_back it
-- answers released where it is skipped, unconfirmed where there is no such dead letter and p_skip is false, and gone where
-- another call released the lane in between. With p_dry_run nothing is changed.
create or replace function outbox.release_blocked(
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
    lane   outbox.blocked;
    d      outbox.dead_letters;
    buried boolean;
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
        -- The dead letter is locked before the lane, as redrive_dead_letters does.
        select x.* into d from outbox.dead_letters x
        where x.event_id = picked.event_id
          and (x.destination, x.aggregate_type, x.aggregate_id) = (picked.destination, picked.aggregate_type, picked.aggregate_id)
        order by x.id
        limit 1
        for update;
        buried := found;
        select b.* into lane from outbox.blocked b
        where (b.destination, b.aggregate_type, b.aggregate_id) = (picked.destination, picked.aggregate_type, picked.aggregate_id)
          and b.event_id = picked.event_id and b.released_at is null
        for update;
        ordered := buried and not p_skip;
        outcome := case
            when not found then 'gone'
            when buried and not p_skip and p_dry_run then 'redriven'
            when buried and not p_skip then outbox.put_back(d, null, 'blocked', p_request)
            when not p_skip then 'unconfirmed'
            else 'released'
        end;
        if outcome = 'released' and not p_dry_run then
            update outbox.blocked b set released_at = clock_timestamp()
            where (b.destination, b.aggregate_type, b.aggregate_id) = (lane.destination, lane.aggregate_type, lane.aggregate_id);
        end if;
        return next;
    end loop;
end
$$;

select outbox.grant_function('release_blocked', '{outbox_redrive}');
