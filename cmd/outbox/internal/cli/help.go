package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

const about = `outbox looks after the transactional outbox in a PostgreSQL database: it migrates
its schema, shows where events are, and brings them back.

Exit codes:
  0  all is well
  1  the command failed: no connection, no schema, a refused privilege
  2  the command line or the database URL is wrong
  3  the answer is no: show found no such event, status --check found a limit
     exceeded, redrive or replay left something`

// help is the help of a command. The list of commands shows short; the command's own help shows long and example.
type help struct{ short, long, example string }

// describe sets the help of all commands below root from helpTable.
func describe(root *cobra.Command) {
	table := helpTable()
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		_, name, _ := strings.Cut(cmd.CommandPath(), " ")
		if h, ok := table[name]; ok {
			cmd.Short, cmd.Long, cmd.Example = h.short, h.long, h.example
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

// helpTable returns the help of each command by its path without outbox, such as "dead list".
func helpTable() map[string]help {
	return map[string]help{
		"migrate": {
			short: "Create the schema outbox, or bring it up to date",
			long: `Creates the schema outbox, or brings it up to date: it applies the numbered
migrations that are missing, and makes the functions anew whose text has changed.
It may run again, and several may run at once: they take turns. A schema that is
newer than this command stays as it is.

Connect to the server itself, not through RDS Proxy or a pooler in transaction
mode. The user must be able to create schemas, or own the schema outbox and all
that is in it: what another role made there would run with the user's rights, and
the command refuses to go on. Add role=NAME to the URL to migrate as the role that
owns it. Where the user may not create the roles outbox_writer, outbox_relay,
outbox_redrive and outbox_janitor, create them as an administrator and run:
select outbox.grant_roles()

Roles belong to the whole server, and databases with the same role names share
them: a login of one may use the outbox of another that it may connect to. Give
each its own with --role-prefix, such as shop for shop_writer and shop_relay. The
prefix is kept in the database; with another one the former roles lose their
rights on the schema.

With --print it writes the whole schema as plain SQL, in one transaction, and
needs no database. That is for a database that has no outbox yet.`,
			example: `  outbox migrate --database-url postgres://admin@localhost:5432/app
  outbox migrate --role-prefix shop
  outbox migrate --print > migrations/0042_outbox.sql`,
		},
		"status": {
			short: "Show the backlog, the relays and what is wrong",
			long: `Shows the pending events of each destination, the relays with the shards that they
own, how long their leases last without a renewal and how long they will run, dead
letters and blocked aggregates, and hints about what is wrong.

With --json the fields are: now, schema_version, pending, pending_capped (true
when --limit was reached), oldest_seconds, dead_letters, blocked_aggregates,
destinations (destination, pending, oldest_seconds), relays (relay_id, name,
state, shards, started_at, lease_seconds, run_seconds), shards_without_owner and
problems (code, message). A state is running, leaving or lapsed.

With --check it exits with 3 when a limit is exceeded. A negative limit allows
anything.`,
			example: `  outbox status
  outbox status --json | jq .oldest_seconds
  outbox status --check --max-age 2m --max-dead-letters 10`,
		},
		"show": {
			short: "Show where an event is",
			long: `Shows where an event is: pending, with the relay that owns its shard; blocked,
with the dead letter that its aggregate waits behind; sent, with the time and
the broker's MessageId and SequenceNumber; dead, with when and why; or archived.
The payload is not shown. When there is no such event the exit code is 3.

With --json the fields are: state (pending, blocked, sent, dead, archived or
not_found), event_id, id, destination, aggregate_type, aggregate_id, event_type,
shard, replays, created_at, and where they apply owner, blocked_by,
block_reason, released_at, sent_at, message_id, sequence_number, dead_at,
attempts, code, reason, replay_of (the row that this one copies), others (the other
rows of the event) and redrives (redriven_at, source, request_id, row_id, copy_id,
generation, destination, attempts, code, reason).`,
			example: `  outbox show 0197a3b0-5c1e-7c4a-9f0e-3d2b1a000001
  outbox show --json 0197a3b0-5c1e-7c4a-9f0e-3d2b1a000001 | jq -r .message_id`,
		},
		"version": {
			short:   "Show the versions of the program and of the schema it needs",
			example: `  outbox version`,
			long: `Shows the version of the program, with the Go version and the commit that it was
built from, and the version of the schema that it needs.`,
		},
		"redrive": {
			short: "Bring back dead letters, blocked aggregates, or messages of a dead-letter queue",
			long: `Brings back events that were not delivered, or not handled by their consumer:

  dead_letters  events that the relay gave up, in outbox.dead_letters
  blocked       aggregates that wait behind a dead letter: it goes back first, then
                the events behind it; with --confirm it stays a dead letter, and its
                aggregate goes on without it
  dlq           messages of a dead-letter queue of SQS (--queue), sent to the queue
                that failed, or to the one that --send-to names

Each goes out under a new deduplication id. An event that its aggregate went on
without comes after later ones. That breaks order and needs --confirm; without it
such events stay where they are, and are counted. Redriving a dead letter that an
aggregate is blocked behind releases the aggregate.

dead_letters and blocked need a database login with the role outbox_redrive. dlq
needs the AWS credentials and region of the environment. Where a database is named
too, the run is recorded there, and refused when that fails; outbox redrive list
shows the records. Without one there is no record, and the answer says so.

When not everything was brought back the exit code is 3, and --token with the token
of the answer goes on. With --json the answer is one JSON object: action, source,
dry_run, queue, send_to, recorded, redriven, released, matched (in a dry run), skipped,
unconfirmed, out_of_order, failed, failures (reason, text, count, examples),
groups_stopped, duplicates, unseen, hidden, more, token, stopped, problem, notes and
seconds.`,
			example: `  outbox redrive --source dead_letters --dry-run
  outbox redrive --source dead_letters --aggregate-type order --aggregate-id 42
  outbox redrive --source dead_letters --event-id 0197a3b0-5c1e-7c4a-9f0e-3d2b1a000001 --confirm
  outbox redrive --source dlq --queue orders-dlq.fifo --rate 50
  outbox redrive --source dlq --queue shared-dlq.fifo --send-to orders.fifo`,
		},
		"redrive list": {
			short: "List the runs that redrove dead-letter queues, the latest first",
			long: `Lists the records of runs that redrove dead-letter queues of SQS: when, with which login of
the database, under which request id, from which queue to which, and the counts. A
run that is not ended lasts, or was killed.

With --json it writes a list of objects: redrive_id, started_at, ended_at, login,
request_id, queue, send_to, request (with its filters and limit) and answer.`,
			example: `  outbox redrive list
  outbox redrive list --json | jq '.[] | {login, request, redriven: .answer.redriven}'`,
		},
		"replay": {
			short: "Send events again that were sent already",
			long: `Sends events again that were sent already: of an aggregate, a type, a destination, a range
of ids or of time, or by their ids. At least one filter is needed.

It writes a copy of each event into the outbox: a new row with the same event id,
a new deduplication id, and the attribute outbox-replay with the sequence that the
event had. The rows that were sent stay as they are. The copies of an aggregate are
written together, while writers that lock the aggregate wait, so that newer events
come after them; --interleave writes them in small groups, in the order of the
ids over all aggregates.

A replay that is interrupted goes on with --token: it is shown at the beginning, and
nothing is copied twice. It needs a database login with the role outbox_redrive.

When not everything was copied the exit code is 3. With --json the answer is one
JSON object, as that of outbox redrive.`,
			example: `  outbox replay --aggregate-type order --aggregate-id 42 --dry-run
  outbox replay --event-type order.placed --from 2026-11-01T00:00:00Z --to 2026-11-02T00:00:00Z --rate 200
  outbox replay --token 0197a3b0-5c1e-7c4a-9f0e-3d2b1a000001`,
		},
		"dead": {
			short: "Look at dead letters: events that the relay gave up",
			long: `Looks at outbox.dead_letters: events that cannot be published as they are.
outbox redrive --source dead_letters brings them back.`,
			example: `  outbox dead list
  outbox dead show 0197a3b0-5c1e-7c4a-9f0e-3d2b1a000001`,
		},
		"dead list": {
			short: "List dead letters, without their payloads",
			long: `Lists dead letters in the order of their ids. When there are more than --limit, the
last line says how to go on.

With --json it writes a list of objects: id, event_id, destination, aggregate_type,
aggregate_id, event_type, replays, created_at, dead_at, attempts, code, reason and
blocks (true when its aggregate is blocked behind it).`,
			example: `  outbox dead list --event-type order.placed
  outbox dead list --json | jq -r .[].event_id`,
		},
		"dead show": {
			short: "Show a dead letter with its payload",
			long: `Shows a dead letter with its payload and headers, which may be personal data. When
there is no such dead letter the exit code is 3; outbox show finds events wherever
they are.

With --json it writes the object of outbox dead list, with payload (the text as it
was written) and headers.`,
			example: `  outbox dead show 0197a3b0-5c1e-7c4a-9f0e-3d2b1a000001`,
		},
		"blocked": {
			short: "Look at blocked aggregates, and release them",
			long: `Looks at outbox.blocked: aggregates that wait behind a dead letter, at a destination
that keeps order at any price (on_reject block).`,
			example: `  outbox blocked list
  outbox blocked release --aggregate-type order --aggregate-id 42`,
		},
		"blocked list": {
			short: "List blocked aggregates",
			long: `Lists blocked aggregates, and those that were released and that no relay has resumed
yet, in the order of their first events. Events that wait are counted among the
first 100,000 pending ones.

With --json it writes a list of objects: first_id, event_id, dead_letter (false when
the event that it is blocked behind is none any more), destination, aggregate_type,
aggregate_id, blocked_at, released_at, reason and waiting.`,
			example: `  outbox blocked list --destination orders`,
		},
		"blocked release": {
			short: "Release aggregates: the dead letter first, then the events behind it",
			long: `Releases blocked aggregates, as outbox redrive --source blocked does: the dead letter
goes back first, then the events behind it. With --confirm it stays a dead letter,
and its aggregate goes on without it. The filters are about the dead letter. Without
any, --all is needed.

The exit codes and the answer are those of outbox redrive.`,
			example: `  outbox blocked release --aggregate-type order --aggregate-id 42
  outbox blocked release --all --dry-run`,
		},
		"janitor": {
			short: "Keep the tables small, and find what is wrong",
			long: `Does what the janitor function does: makes partitions ahead, archives, applies
retentions, and reports.`,
			example: `  outbox janitor run`,
		},
		"janitor run": {
			short: "Make partitions ahead, archive what was sent, apply retentions, report",
			long: `Does what the janitor function does, once, and writes the report as JSON: what
was done, more (true when the time ended before the work did), health and
findings (code, message). It may run beside the function and beside relays.

Events of the archive that are older than --archive-retention are removed. With
--export they are written to files in a folder first, and removed only after these
were read again.`,
			example: `  outbox janitor run
  outbox janitor run --archive-retention 2160h --export /srv/outbox-archive`,
		},
		"archive": {
			short: "List and export the archive",
			long:  `Lists the partitions of outbox.archive, and writes them to files.`,
			example: `  outbox archive list
  outbox archive export --partition 12 --to /srv/outbox-archive`,
		},
		"archive list": {
			short: "List the partitions of the archive, the oldest first",
			long: `Lists the partitions of the archive: the estimated number of rows, the size with
indexes, when the first and the last row were sent, and whether the partition is
closed, that is, whether outbox.events has no more rows for it.

With --json it writes a list of objects: partition, number, closed, estimated_rows,
bytes, oldest_sent_at and newest_sent_at.`,
			example: `  outbox archive list
  outbox archive list --json | jq -r .[].partition`,
		},
		"archive export": {
			short: "Write a partition of the archive to files; nothing is removed",
			long: `Writes the rows of a partition to files of gzipped JSON lines in a folder, and
reads each file again. Nothing is removed from the database. Each line is an
object with the fields id, event_id, aggregate_type, aggregate_id, event_type,
destination, created_at, sent_at, message_id, payload, and where they apply
sequence_number, replays, replay_of and headers.`,
			example: `  outbox archive export --partition 12 --to /srv/outbox-archive`,
		},
	}
}
