package cli

import (
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

func (p *Program) version() *cobra.Command {
	return &cobra.Command{
		Use:  "version",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			version, commit, goVersion := "unknown", "", "unknown"
			if info, ok := debug.ReadBuildInfo(); ok {
				version, goVersion = info.Main.Version, info.GoVersion
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						commit = ", commit " + s.Value
					}
				}
			}
			return failed(p.printf("outbox %s (%s%s)\nschema %d\n", version, goVersion, commit, pgstore.Version()))
		},
	}
}
