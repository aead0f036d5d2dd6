package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is longer than anything here takes; what takes so long has failed.
const patience = 30 * time.Second

// process is one run of a program.
type process struct {
	cmd   *exec.Cmd
	log   *textBuffer
	ended chan struct{}
}

// spawn starts a program. Its output goes to log; the kernel kills it if this process dies first.
func spawn(log *textBuffer, path string, args ...string) (*process, error) {
	return start(log, exec.Command(path, args...))
}

// spawnInheriting starts a program with a listening socket, announced as systemd does (sd_listen_fds(3)). A shell
// becomes the program, because only the child knows its LISTEN_PID.
func spawnInheriting(log *textBuffer, socket *os.File, path string, args ...string) (*process, error) {
	announce := `LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@"`
	cmd := exec.Command("sh", append([]string{"-c", announce, path}, args...)...)
	cmd.ExtraFiles = []*os.File{socket}
	return start(log, cmd)
}

func start(log *textBuffer, cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, log: log, ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if p.cmd.SysProcAttr == nil {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	p.cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go func() {
		// Pdeathsig follows the thread that started the child, so this thread has to outlive it.
		runtime.LockOSThread()
		defer close(p.ended)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // how it ended is in ProcessState
		}
	}()
	return p, <-started
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// signal sends a signal; a process that has already ended is not an error.
func (p *process) signal(signal os.Signal) {
	_ = p.cmd.Process.Signal(signal)
}

// wait waits for the end and gives the exit code; -1 if a signal ended it.
func (p *process) wait() (int, error) {
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		return 0, fmt.Errorf("%s does not end within %s", filepath.Base(p.cmd.Path), patience)
	}
}

// kill ends it at once.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// textBuffer collects what processes print; safe for concurrent use.
type textBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *textBuffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(data)
}

func (b *textBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Repository is the folder of the project. Tests run in the folder of their package, so this file's place tells it.
func Repository() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Binary gives the path of a program: from the environment, else from cargo's folder.
func Binary(t testing.TB, env, name string) string {
	t.Helper()
	path := os.Getenv(env)
	if path == "" {
		path = filepath.Join(Repository(), "target", "debug", name)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: build it with cargo build --workspace, or set %s", err, env)
	}
	return path
}

// Eventually polls until done says true, and fails the test if that takes too long.
func Eventually(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
		time.Sleep(20 * time.Millisecond) // between two polls
	}
}
