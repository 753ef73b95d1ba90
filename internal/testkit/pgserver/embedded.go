//go:build unix

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/process"
)

// release returns the release of the embedded server for a major version, that of 18 for 0. It errs for a major
// version that is not tested.
func release(major int) (embeddedpostgres.PostgresVersion, error) {
	switch major {
	case 15:
		return embeddedpostgres.V15, nil
	case 16:
		return embeddedpostgres.V16, nil
	case 17:
		return embeddedpostgres.V17, nil
	case 0, 18:
		return embeddedpostgres.V18, nil
	}
	return "", fmt.Errorf("there is no version %d, only 15 to 18", major)
}

// embeddedBin returns the folder of the embedded server's programs of a major version, 0 for the newest, and fetches
// them when they are not in the cache yet. One process fetches; others wait. Neither ends with ctx: a ctx that has
// ended, before the call or during it, makes the result an error, also where the programs are in the cache.
func embeddedBin(ctx context.Context, major int) (string, error) {
	embedded, err := release(major)
	if err != nil {
		return "", fmt.Errorf("embedded postgres: %w", err)
	}
	cache, err := cacheDir()
	if err != nil {
		return "", fmt.Errorf("embedded postgres: %w", err)
	}
	root := filepath.Join(cache, "postgres-"+string(embedded))
	bin := filepath.Join(root, "bin")
	if _, err = version(ctx, bin); err == nil {
		return bin, nil
	}
	if err = os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("embedded postgres: %w", err)
	}
	unlock, err := process.Lock(root + ".lock")
	if err != nil {
		return "", fmt.Errorf("embedded postgres: %w", err)
	}
	defer unlock()
	if _, err = version(ctx, bin); err == nil {
		return bin, nil
	}
	if err = ctx.Err(); err != nil {
		return "", fmt.Errorf("embedded postgres: %w", err)
	}
	if err = fetch(ctx, embedded, cache, root); err != nil {
		return "", fmt.Errorf("embedded postgres: %w", err)
	}
	return bin, nil
}

// fetch downloads the archive of one release of the embedded server from Maven Central into the folder cache and
// unpacks it to the folder root. The library does so only while it starts a server, which is stopped again. When this process is root
// that server cannot start, which is no error: only the programs are needed.
func fetch(ctx context.Context, embedded embeddedpostgres.PostgresVersion, cache, root string) error {
	port, err := process.FreePort(ctx)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(cache, "unpack-")
	if err != nil {
		return err
	}
	db := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(embedded).
		Port(uint32(port)). //nolint:gosec // A port fits.
		CachePath(cache).
		BinariesPath(root).
		RuntimePath(filepath.Join(scratch, "run")).
		Logger(io.Discard))
	startErr := db.Start()
	var stopErr error
	if startErr == nil {
		stopErr = db.Stop()
	}
	removeErr := os.RemoveAll(scratch)
	if _, err := version(ctx, filepath.Join(root, "bin")); err != nil {
		return errors.Join(startErr, stopErr, removeErr, err)
	}
	return errors.Join(stopErr, removeErr)
}

// cacheDir returns the folder of the cache, one that the server's user can read: the
// home of root is closed to other users.
func cacheDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/serverless-outbox", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "serverless-outbox"), nil
}
