select last_value from outbox.events_id_seq;
