package python

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestAPythonOfAnotherVersionIsNotTaken(t *testing.T) {
	bin := t.TempDir()
	script := "#!/bin/sh\necho 'AssertionError' >&2\nexit 1\n"
	for _, name := range []string{"python3.13", "python3", "python"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	t.Setenv("HOME", t.TempDir())
	t.Setenv("PYENV_ROOT", "")
	if path, err := findInterpreter(t.Context(), "3.13"); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("findInterpreter = %q, %v, want ErrUnavailable", path, err)
	}
}

// An environment is a folder with a python that installs by making files.
func TestInstallsOnceUntilTheRequirementsChange(t *testing.T) {
	bin, log := t.TempDir(), filepath.Join(t.TempDir(), "log")
	python := `#!/bin/sh
case "$*" in
*ensurepip*) echo "$0" ;;
*"-m venv"*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
*"pip install"*) echo installed >> "` + log + `" ;;
esac
`
	if err := os.WriteFile(filepath.Join(bin, "python3.13"), []byte(python), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	dir := t.TempDir()
	install := func(requirements string, want int) {
		t.Helper()
		got, err := Install(t.Context(), Config{Name: "tool", Requirements: []byte(requirements), Dir: dir})
		if err != nil || got != filepath.Join(dir, "venv", "bin") {
			t.Fatalf("Install = %q, %v", got, err)
		}
		lines, err := os.ReadFile(log)
		if err != nil || len(lines) != want*len("installed\n") {
			t.Errorf("installed: %q, error %v; want %d times", lines, err, want)
		}
	}
	install("a==1", 1)
	install("a==1", 1)
	install("a==2", 2)
}
