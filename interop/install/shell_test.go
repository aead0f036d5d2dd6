package install

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// shell is the reader's open shell: what one block sets, later ones see.
type shell struct {
	stdin  io.Writer
	status *bufio.Reader
	dir    string
}

func openShell(t *testing.T, directory string, environment ...string) *shell {
	t.Helper()
	statusReader, statusWriter, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "--norc", "-eu")
	cmd.Dir, cmd.Env = directory, append(os.Environ(), environment...)
	cmd.ExtraFiles = []*os.File{statusWriter}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = statusWriter.Close()
	t.Cleanup(func() { _ = stdin.Close(); _ = cmd.Wait() })
	return &shell{stdin, bufio.NewReader(statusReader), t.TempDir()}
}

// run runs commands and gives what they print; the first that fails ends the test.
func (s *shell) run(t *testing.T, what, commands string) string {
	t.Helper()
	script, output := filepath.Join(s.dir, "script"), filepath.Join(s.dir, "output")
	if err := os.WriteFile(script, []byte(commands), 0o600); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(s.stdin, "source %q > %q 2>&1 < /dev/null; echo done >&3\n", script, output)
	_, failed := s.status.ReadString('\n') // a shell that has ended
	printed, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s\n%s%s", what, indented("$ ", commands), indented("  ", string(printed)))
	if failed != nil {
		t.Fatalf("%s: the shell ended", what)
	}
	return string(printed)
}

func indented(prefix, text string) (result string) {
	for line := range strings.Lines(text) {
		result += prefix + strings.TrimSuffix(line, "\n") + "\n"
	}
	return result
}
