package dlq

// DeduplicationID is the id under which m goes back.
func DeduplicationID(m *Received) string {
	id := identify(m)
	return deduplicationID(m, &id)
}

// Back is what goes back for m along the route.
func Back(r *Route, m *Received, limit int) (out Outgoing, refused string) {
	id := identify(m)
	out, why := r.outgoing(m, &id, limit)
	if why != nil {
		return out, why.code
	}
	return out, ""
}
