select sampled_at, current, ids_per_second from outbox.sample_ids()
