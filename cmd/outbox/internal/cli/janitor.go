package cli

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/serverless-outbox/serverless-outbox/cmd/outbox/internal/view"
	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
)

func (p *Program) janitorRun(g *globals) *cobra.Command {
	var (
		cfg    janitor.Config
		budget time.Duration
		export string
	)
	cmd := &cobra.Command{
		Use:  "run",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if export != "" {
				cfg.Target = folder(export)
			}
			cfg.Logger = slog.New(slog.DiscardHandler)
			if err := cfg.Validate(); err != nil {
				return usagef("%s", asFlags(err))
			}
			if budget <= 0 {
				return usagef("--budget: must be above 0, is %v", budget)
			}
			until := p.Now().Add(budget)
			return p.with(cmd.Context(), g, budget+30*time.Second, func(ctx context.Context, db Database) error {
				j, err := janitor.New(db.Janitor, cfg)
				if err != nil {
					return err //nolint:wrapcheck // names the field
				}
				report, err := j.Run(ctx, until)
				return errors.Join(err, view.JSON(p.Out, report))
			})
		},
	}
	flags := cmd.Flags()
	flags.DurationVar(&budget, "budget", 5*time.Minute, "stop after this long")
	flags.DurationVar(&cfg.Retention, "retention", janitor.DefaultRetention, "how long sent events stay in outbox.events")
	flags.DurationVar(&cfg.ArchiveRetention, "archive-retention", 0, "how long sent events stay in outbox.archive (default for ever)")
	flags.DurationVar(&cfg.DeadLetterRetention, "dead-letter-retention", 0, "how long dead letters are kept (default for ever)")
	flags.StringVar(&export, "export", "", "folder for the events that --archive-retention removes")
	return cmd
}

// archiveLimit is the most partitions that archive list shows.
const archiveLimit = 10_000

// archived is a partition of the archive in the output of archive list. Oldest and Newest are nil when the
// partition has no rows. The names of its JSON fields never change.
type archived struct {
	Partition string     `json:"partition"`
	Number    int64      `json:"number"`
	Closed    bool       `json:"closed"`
	Rows      int64      `json:"estimated_rows"`
	Bytes     int64      `json:"bytes"`
	Oldest    *time.Time `json:"oldest_sent_at"`
	Newest    *time.Time `json:"newest_sent_at"`
}

func (p *Program) archiveList(g *globals) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:  "list",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.with(cmd.Context(), g, 30*time.Second, func(ctx context.Context, db Database) error {
				list, err := db.Janitor.ListArchive(ctx, archiveLimit)
				if err != nil {
					return err //nolint:wrapcheck // the store names the operation
				}
				shown := make([]archived, 0, len(list))
				for _, a := range list {
					shown = append(shown, archived{
						Partition: "outbox." + janitor.ArchiveName(a.Number), Number: a.Number, Closed: a.Closed, Rows: a.Rows, Bytes: a.Bytes,
						Oldest: stamp(a.Oldest), Newest: stamp(a.Newest),
					})
				}
				if asJSON {
					return view.JSON(p.Out, shown) //nolint:wrapcheck // says what it did
				}
				w := tabwriter.NewWriter(p.Out, 0, 0, 2, ' ', 0)
				_, err = fmt.Fprintln(w, "PARTITION\tROWS (ESTIMATE)\tMB\tSENT FROM\tTO\tCLOSED")
				for _, a := range shown {
					_, lineErr := fmt.Fprintf(w, "%s\t%d\t%.1f\t%s\t%s\t%v\n", a.Partition, a.Rows, float64(a.Bytes)/1e6, when(a.Oldest), when(a.Newest), a.Closed)
					err = cmp.Or(err, lineErr)
				}
				return cmp.Or(err, w.Flush())
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write a JSON array")
	return cmd
}

func (p *Program) archiveExport(g *globals) *cobra.Command {
	var number int64
	var to string
	cmd := &cobra.Command{
		Use:  "export --partition <number> --to <folder>",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" || number < 0 {
				return usagef("--partition and --to are required: see outbox archive list")
			}
			return p.with(cmd.Context(), g, time.Hour, func(ctx context.Context, db Database) error {
				e := janitor.Exporter{
					Store: db.Janitor, Target: folder(to), Rows: janitor.DefaultExportRows, Bytes: janitor.DefaultExportBytes,
				}
				rows := int64(0)
				for from, whole := int64(0), false; !whole; {
					var f *janitor.File
					var err error
					if f, whole, err = e.File(ctx, number, from, time.Time{}); err != nil {
						return err //nolint:wrapcheck // names the file
					}
					if f == nil {
						break
					}
					if _, err = fmt.Fprintf(p.Out, "%s: %d rows\n", f.Location, f.Rows); err != nil {
						return err //nolint:wrapcheck // of the output
					}
					rows += f.Rows
					from = f.To + 1
				}
				if rows == 0 {
					return &failure{code: exitNo, err: fmt.Errorf("partition %d of the archive has no rows: see outbox archive list", number)}
				}
				return nil
			})
		},
	}
	cmd.Flags().Int64Var(&number, "partition", -1, "number of the partition: 12 is outbox.archive_p000012")
	cmd.Flags().StringVar(&to, "to", "", "folder to write to")
	return cmd
}

func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func when(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Format(time.RFC3339)
}

// folder is a [janitor.Target] that stores files in a folder on disk. Its value is the path of the folder.
type folder string

// Put implements [janitor.Target]. It makes the folders of the key, writes and syncs a temporary file and renames
// it over a file that is there already, so that no file is ever half written. Then it reads the file back: one
// that has not the SHA-256 sum is janitor.ErrAltered, wrapped.
func (f folder) Put(ctx context.Context, key string, content []byte, sum [sha256.Size]byte) error {
	path := f.Location(key)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err //nolint:wrapcheck // names the path
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err //nolint:wrapcheck // names the path
	}
	_, err = file.Write(content)
	err = cmp.Or(err, file.Sync())
	if err = cmp.Or(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return f.Verify(ctx, key, int64(len(content)), sum)
}

// Verify implements [janitor.Target]. It reads the whole file and compares its SHA-256 only, since another
// size has another SHA-256. A file that differs or is missing is janitor.ErrAltered, wrapped.
func (f folder) Verify(_ context.Context, key string, _ int64, sum [sha256.Size]byte) error {
	content, err := os.ReadFile(f.Location(key))
	if errors.Is(err, fs.ErrNotExist) || err == nil && sha256.Sum256(content) != sum {
		return fmt.Errorf("%s: %w", f.Location(key), janitor.ErrAltered)
	}
	return err //nolint:wrapcheck // names the path
}

// Location implements [janitor.Target]. It returns the path of the file.
func (f folder) Location(key string) string { return filepath.Join(string(f), filepath.FromSlash(key)) }
