// Package requirements names the packages of the Python tools that the project
// runs. Each file is a pip requirements file with everything pinned.
package requirements

import (
	"embed"
	"fmt"
)

// PythonVersion is the Python that the files were written with.
const PythonVersion = "3.13"

//go:embed *.txt
var files embed.FS

// Of returns the requirements of a tool: sam (with cfn-lint and the SAM
// transform), checkov or ministack.
func Of(tool string) ([]byte, error) {
	list, err := files.ReadFile(tool + ".txt")
	if err != nil {
		return nil, fmt.Errorf("there are no requirements of %q", tool)
	}
	return list, nil
}
