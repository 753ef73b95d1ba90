-- Answers whether at most 4,000 arrays and objects of a JSON text are inside each other. Brackets are all that is left
-- of the text, and then each round takes away those that have nothing inside.
create or replace function outbox.nests_at_most_4000(document json) returns boolean
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    rest text := translate(regexp_replace(document::text, '(?:"(?:[^"\\]|\\.)*"|[^][{}"])+', '', 'g'), '{}', '[]');
begin
    for level in 1 .. 4000 loop
        exit when rest = '';
        rest := replace(rest, '[]', '');
    end loop;
    return rest = '';
end
$$;

select outbox.grant_function('nests_at_most_4000', '{outbox_writer, outbox_relay}');
