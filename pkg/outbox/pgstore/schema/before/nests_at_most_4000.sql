-- Answers whether at most 4,000 arrays and objects of a JSON text are inside each other. Brackets are all that is left
-- of the text. It is cut wherever a closing one is followed by an opening one, so that each piece first goes up some
-- levels and then down. Both brackets of a cut are lost, which leaves the sums of levels as they are.
create or replace function outbox.nests_at_most_4000(document json) returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    with pieces as (
        select length(rtrim(p.piece, ']')) as ups, length(p.piece) as steps, p.place
        from string_to_table(
            translate(regexp_replace(document::text, '(?:"(?:[^"\\]|\\.)*"|[^][{}"])+', '', 'g'), '{}', '[]'), '][')
            with ordinality as p (piece, place)
    ), tops as (
        select sum(ups - (steps - ups)) over (order by place) + (steps - ups) as level from pieces
    )
    select coalesce(max(level), 0) <= 4000 from tops
$$;

select outbox.grant_function('nests_at_most_4000', '{outbox_writer, outbox_relay}');
