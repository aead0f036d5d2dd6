package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
)

// python is the folder of the Python suite.
func python() string {
	return filepath.Join(Repository(), "interop", "python")
}

// AskPython runs a module of the Python suite in that suite's own environment: JSON goes in and comes out.
func AskPython(t testing.TB, module string, question, answer any) {
	t.Helper()
	interpreter := filepath.Join(python(), ".venv", "bin", "python")
	if _, err := exec.LookPath(interpreter); err != nil {
		t.Fatalf("run interop/python/run first, which makes interop/python/.venv: %v", err)
	}
	sent, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, interpreter, "-B", "-m", module) // -B: leaves no files behind
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = python(), bytes.NewReader(sent), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", module, err, &stderr)
	}
	if err := json.Unmarshal(stdout.Bytes(), answer); err != nil {
		t.Fatalf("%s: %v: %s", module, err, &stdout)
	}
}
