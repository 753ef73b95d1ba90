do $$
begin
    if current_setting('server_version_num')::int < 150000 then
        raise exception 'the outbox needs PostgreSQL 15 or later, this is %', current_setting('server_version');
    end if;
    -- The character checks name code points of Unicode.
    if getdatabaseencoding() <> 'UTF8' then
        raise exception 'the outbox needs a database in the encoding UTF8, this one is %', getdatabaseencoding();
    end if;
end
$$;

-- The functions of the schema that a migration made. sha256 is that of the file that
-- the function was made from, declaration its name, arguments and result in that
-- file: where they differ from those of the program, outbox migrate makes the
-- function anew. roles may execute the function. A function without a row here is
-- left alone.
create table outbox.functions (
    name        text not null,
    sha256      text not null default '',
    declaration text not null default '',
    roles       text[] not null,
    constraint functions_pkey primary key (name)
);
