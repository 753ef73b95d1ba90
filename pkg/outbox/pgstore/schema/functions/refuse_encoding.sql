-- Fails, with the client_encoding of the session. Writers that send UTF-8, whatever that setting is, call it where it
-- is another one: their texts would be stored wrong.
create or replace function outbox.refuse_encoding() returns boolean
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    raise untranslatable_character using message =
        format('client_encoding is %s, and texts are sent in UTF8', current_setting('client_encoding'));
end
$$;

select outbox.grant_function('refuse_encoding', '{outbox_writer}');
