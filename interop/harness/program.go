package harness

import (
	"os/exec"
	"syscall"
	"testing"
)

// Program is a process that is neither of our two.
type Program struct {
	log textBuffer
	run *process
}

// StartProgram starts a command. It is killed when the test ends, and its output is shown if that failed.
func StartProgram(t testing.TB, cmd *exec.Cmd) *Program {
	t.Helper()
	p := &Program{}
	run, err := start(&p.log, cmd)
	if err != nil {
		t.Fatalf("%s: %v", cmd.Path, err)
	}
	p.run = run
	t.Cleanup(func() {
		p.run.kill()
		if t.Failed() {
			t.Logf("--- output of %s\n%s", cmd.Path, p.Log())
		}
	})
	return p
}

// Log gives what it printed.
func (p *Program) Log() string {
	return p.log.String()
}

// Running says whether it has not ended.
func (p *Program) Running() bool {
	return p.run.running()
}

// Terminate sends SIGTERM and waits for the end.
func (p *Program) Terminate(t testing.TB) {
	t.Helper()
	p.run.signal(syscall.SIGTERM)
	if _, err := p.run.wait(); err != nil {
		t.Fatal(err)
	}
}
