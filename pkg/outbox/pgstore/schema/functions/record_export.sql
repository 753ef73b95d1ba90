-- Records a file of exported rows in outbox.exports, and that rows leave the archive only after their export from now on.
-- Called again with the same location it replaces the record.
create or replace function outbox.record_export(
    p_number bigint, p_from bigint, p_to bigint, p_rows bigint, p_digest numeric, p_bytes bigint, p_sha256 text, p_location text
) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into outbox.exports (number, from_id, to_id, rows, digest, bytes, sha256, location)
    values (p_number, p_from, p_to, p_rows, p_digest, p_bytes, p_sha256, p_location)
    on conflict (location) do update
    set number = excluded.number, from_id = excluded.from_id, to_id = excluded.to_id, rows = excluded.rows, digest = excluded.digest,
        bytes = excluded.bytes, sha256 = excluded.sha256, exported_at = excluded.exported_at, removed_at = null;
    update outbox.settings set export_required = true where not export_required;
$$;

select outbox.grant_function('record_export', '{outbox_janitor}');
