package harness

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Daemon is azure-kms-provider: one socket and two ports, which every run of it uses.
type Daemon struct {
	// Socket is the path of the unix socket, or @name when it is abstract.
	Socket string

	path    string
	flags   []string
	healthz string
	metrics string
	socket  *os.File // the listening socket that every run inherits; nil when each makes its own
	log     textBuffer
	run     *process
	runFrom int // where the log of the present run begins
}

// NewDaemon prepares a daemon that uses the emulator. It does not start it yet; what was started ends with the test.
func NewDaemon(t testing.TB, emulator *Emulator, flags ...string) *Daemon {
	t.Helper()
	return newDaemon(t, emulator, filepath.Join(shortDir(t), "kms.socket"), flags)
}

// NewDaemonAtAbstractSocket prepares one that listens at a socket without a file.
func NewDaemonAtAbstractSocket(t testing.TB, emulator *Emulator, flags ...string) *Daemon {
	t.Helper()
	return newDaemon(t, emulator, fmt.Sprintf("@azurekms-%d-%d", os.Getpid(), freePort(t)), flags)
}

func newDaemon(t testing.TB, emulator *Emulator, socket string, flags []string) *Daemon {
	t.Helper()
	healthz, metrics := freePort(t), freePort(t)
	d := &Daemon{
		Socket:  socket,
		path:    Binary(t, "AZURE_KMS_PROVIDER", "azure-kms-provider"),
		healthz: fmt.Sprintf("http://127.0.0.1:%d", healthz),
		metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics),
	}
	// url.Path of unix:///@name is /@name: kube-apiserver and the daemon both read that as an abstract socket.
	d.flags = append(emulator.Flags(t),
		"--listen-addr=unix:///"+strings.TrimPrefix(socket, "/"),
		fmt.Sprintf("--healthz-port=%d", healthz),
		fmt.Sprintf("--metrics-addr=127.0.0.1:%d", metrics),
		"--health-interval=200ms",
	)
	d.flags = append(d.flags, flags...)
	t.Cleanup(func() { d.end(t) })
	return d
}

// KeepSocket makes the socket, which every run inherits from then on.
func (d *Daemon) KeepSocket(t testing.TB) {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.Socket})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() // d.socket is another descriptor of it
	listener.SetUnlinkOnClose(false)
	if d.socket, err = listener.File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.socket.Close() })
}

// StartDaemon starts a daemon and waits until it is healthy.
func StartDaemon(t testing.TB, emulator *Emulator, flags ...string) *Daemon {
	t.Helper()
	d := NewDaemon(t, emulator, flags...)
	d.Start(t)
	d.WaitForLog(t, `"Healthy"`)
	return d
}

// Start starts it and waits until it listens.
func (d *Daemon) Start(t testing.TB) {
	t.Helper()
	d.Spawn(t)
	d.WaitForLog(t, "Listening for connections")
}

// Spawn starts it and does not wait.
func (d *Daemon) Spawn(t testing.TB) {
	t.Helper()
	if d.run != nil && d.run.running() {
		t.Fatal("the daemon already runs")
	}
	d.runFrom = len(d.log.String())
	run, err := d.spawn()
	if err != nil {
		t.Fatal(err)
	}
	d.run = run
}

func (d *Daemon) spawn() (*process, error) {
	if d.socket != nil {
		return spawnInheriting(&d.log, d.socket, d.path, d.flags...)
	}
	return spawn(&d.log, d.path, d.flags...)
}

// Terminate sends SIGTERM, waits for the end, and fails the test unless the exit code is 0.
func (d *Daemon) Terminate(t testing.TB) {
	t.Helper()
	d.run.signal(syscall.SIGTERM)
	code, err := d.run.wait()
	if err != nil || code != 0 {
		t.Fatalf("after SIGTERM: exit code %d, %v", code, err)
	}
}

// Kill sends SIGKILL and waits for the end.
func (d *Daemon) Kill() {
	d.run.kill()
}

// Restart is SIGTERM and Start.
func (d *Daemon) Restart(t testing.TB) {
	t.Helper()
	d.Terminate(t)
	d.Start(t)
}

// Log gives what all runs printed.
func (d *Daemon) Log() string {
	return d.log.String()
}

// WaitForLog waits until the present run has printed that text.
func (d *Daemon) WaitForLog(t testing.TB, text string) {
	t.Helper()
	Eventually(t, patience, fmt.Sprintf("the daemon logs %q", text), func() bool {
		running := d.run.running()
		if strings.Contains(d.log.String()[d.runFrom:], text) {
			return true
		}
		if !running {
			t.Fatalf("the daemon ended before it logged %q", text)
		}
		return false
	})
}

// Healthz gives status and body of /healthz; status 0 when the port does not answer.
func (d *Daemon) Healthz() (int, string) {
	return get(d.healthz + "/healthz")
}

// HealthzURL gives the URL of another page of the healthz port.
func (d *Daemon) HealthzURL(path string) string {
	return d.healthz + path
}

// WaitForHealthz waits until /healthz has that status.
func (d *Daemon) WaitForHealthz(t testing.TB, status int) {
	t.Helper()
	Eventually(t, patience, fmt.Sprintf("/healthz answers %d", status), func() bool {
		got, _ := d.Healthz()
		return got == status
	})
}

// Metrics gives all of them, as text.
func (d *Daemon) Metrics(t testing.TB) string {
	t.Helper()
	status, text := get(d.metrics)
	if status != 200 {
		t.Fatalf("metrics: status %d: %s", status, text)
	}
	return text
}

// Metric adds up the samples of that name whose labels contain all the given pairs, such as operation="encrypt".
func (d *Daemon) Metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	sum := 0.0
	for line := range strings.Lines(d.Metrics(t)) {
		series, value, found := strings.Cut(strings.TrimSpace(line), " ")
		if !found || !matches(series, name, labels) {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("metrics: %v: %s", err, line)
		}
		sum += number
	}
	return sum
}

func matches(series, name string, labels []string) bool {
	seriesName, rest, _ := strings.Cut(series, "{")
	if seriesName != name {
		return false
	}
	for _, label := range labels {
		if !strings.Contains(rest, label) {
			return false
		}
	}
	return true
}

// end kills what still runs, and shows the log of a daemon whose test failed.
func (d *Daemon) end(t testing.TB) {
	if d.run != nil {
		d.run.kill()
	}
	if t.Failed() {
		t.Logf("--- log of the daemon\n%s", d.Log())
	}
}

// shortDir gives a folder with a short name: a socket's path has to fit into 108 bytes, and names of tests are long.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kms")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

var nextPort atomic.Int64

// freePort gives a port below those that the system gives to clients, so that a restarted daemon finds it free again.
func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 10_000 + (int(nextPort.Add(1))+os.Getpid()*61)%20_000
		listener, err := net.Listen("tcp", fmt.Sprintf("0.0.0.0:%d", port))
		if err != nil {
			continue
		}
		_ = listener.Close()
		return port
	}
	t.Fatal("no free port")
	return 0
}

// Elapsed waits until that long after start; for outages of a given length.
func Elapsed(start time.Time, length time.Duration) {
	time.Sleep(time.Until(start.Add(length)))
}
