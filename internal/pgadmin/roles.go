package pgadmin

// roles returns the roles of which a login needs one for the operation op, as an error names them.
func roles(op string) string {
	switch op {
	case "list dead letters", "redrive dead letters", "release blocked", "count replay", "start replay", "find replay", "copy replay":
		return "outbox_redrive"
	case "lookup", "status", "list blocked":
		return "outbox_redrive, outbox_relay or outbox_janitor"
	}
	return "outbox_janitor"
}
