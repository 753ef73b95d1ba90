-- Puts dead letters back, in the order of their ids, in one transaction: of the next p_limit that pass the filters, with
-- ids above p_after, those that keep the order of their lane, or all with p_confirm. The order is kept (ordered is true)
-- when the lane is blocked behind the event, no earlier event of the lane is a dead letter, and the event goes to its own
-- destination. When an event could not be put back, later ones of its lane are not put back either. Besides the outcomes
-- of put_back it answers:
--   unconfirmed  it would break the order
--   behind       an earlier event of its lane that passes the filters is still dead
--   gone         another call put it back, or removed it; answered for the last one only, others are left out
-- With p_dry_run nothing is changed.
--
-- Dead letters are locked in the order of their ids, so that two calls do not wait
-- for each other in a circle; the second call goes on with what the first left.
create or replace function outbox.redrive_dead_letters(
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
    events  uuid[];
    d       outbox.dead_letters;
    earlier bigint;
    wanted  bigint;
begin
    -- Dead letters of one id, which are of different events, are not parted: the next call begins above the id.
    select array_agg(n.id order by n.id), array_agg(n.event_id order by n.id) into picked, events
    from (
        select x.id, x.event_id from outbox.dead_letters x
        where x.id > p_after
          and outbox.passes(x, p_event_ids, p_destination, p_type, p_id, p_event_type, p_from, p_to, p_id_from, p_id_to)
        order by x.id
        fetch first (p_limit) rows with ties) as n;
    for d in
        select x.* from outbox.dead_letters x
        where x.id = any (picked)
          and exists (select from unnest(picked, events) as n (id, event_id) where (n.id, n.event_id) = (x.id, x.event_id))
        order by x.id, x.event_id
        for update
    loop
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
    -- Dead letters that another call redrove were looked at as well: the last id
    -- tells the caller where to go on.
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

select outbox.grant_function('redrive_dead_letters', '{outbox_redrive}');
