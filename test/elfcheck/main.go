// Command elfcheck fails unless every bootstrap under a folder is what Lambda's
// provided.al2023 runtime can run: a static, executable ELF file for the
// architecture that its path names, as in build/arm64/relay/bootstrap.
package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: elfcheck FOLDER")
		os.Exit(2)
	}
	if err := check(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "elfcheck:", err)
		os.Exit(1)
	}
}

func check(folder string) error {
	paths, err := filepath.Glob(filepath.Join(folder, "*", "*", "bootstrap"))
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	if len(paths) == 0 {
		return fmt.Errorf("no */*/bootstrap under %s", folder)
	}
	var faults []error
	for _, path := range paths {
		if err := checkFile(path); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", path, err))
			continue
		}
		fmt.Println(path, "static")
	}
	return errors.Join(faults...)
}

func checkFile(path string) error {
	machines := map[string]elf.Machine{"arm64": elf.EM_AARCH64, "amd64": elf.EM_X86_64}
	arch := filepath.Base(filepath.Dir(filepath.Dir(path)))
	want, ok := machines[arch]
	if !ok {
		return fmt.Errorf("unknown architecture %q", arch)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	if info.Mode().Perm()&0o111 != 0o111 {
		return fmt.Errorf("not executable by all: %s", info.Mode())
	}
	file, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { _ = file.Close() }()
	if file.Machine != want {
		return fmt.Errorf("built for %s, want %s", file.Machine, want)
	}
	for _, program := range file.Progs {
		if program.Type == elf.PT_INTERP || program.Type == elf.PT_DYNAMIC {
			return fmt.Errorf("dynamically linked: it has a %s segment", program.Type)
		}
	}
	return nil
}
