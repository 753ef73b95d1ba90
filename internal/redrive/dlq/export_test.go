package dlq

// DeduplicationID is the id under which d goes back.
func DeduplicationID(d *Dead) string {
	id := identify(d)
	return deduplicationID(d, &id)
}

// Back is what goes back for d along the route.
func Back(r *Route, d *Dead, limit int) (msg Message, refused string) {
	id := identify(d)
	m, why := r.back(d, &id, limit)
	if why != nil {
		return m, why.code
	}
	return m, ""
}
