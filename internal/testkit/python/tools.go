package python

import (
	"context"
	"embed"
	"fmt"
	"io"
)

// Version is the Python version that every requirements file of the project was written
// with, and the only one that tools are installed with.
const Version = "3.13"

//go:embed *.txt
var requirements embed.FS

// InstallTool installs one of the project's own tools where it is not installed yet and returns the folder of its
// programs. name is sam (with cfn-lint and the SAM transform), checkov or ministack. progress receives a line before
// an installation; nil drops it. The error wraps [ErrUnavailable] when the tool cannot be installed on this machine.
func InstallTool(ctx context.Context, name string, progress io.Writer) (bin string, err error) {
	list, err := requirements.ReadFile(name + ".txt")
	if err != nil {
		return "", fmt.Errorf("there are no requirements of %q", name)
	}
	return Install(ctx, Config{Name: name, Requirements: list, Progress: progress})
}
