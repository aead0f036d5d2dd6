package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// client never goes through a proxy: everything is on loopback.
var client = &http.Client{Transport: &http.Transport{}, Timeout: patience}

// Info is what the suites use of emulator.json.
type Info struct {
	VaultHost   string   `json:"vault_host"`
	ControlURL  string   `json:"control_url"`
	ClientID    string   `json:"client_id"`
	KeyName     string   `json:"key_name"`
	KeyVersions []string `json:"key_versions"`
}

// Emulator is akv-emulator: Key Vault, Entra ID and IMDS.
type Emulator struct {
	Info  Info
	dir   string
	flags []string
	run   *process
}

// FaultSet is what one service does wrong; zero is nothing.
type FaultSet struct {
	LatencyMS int     `json:"latency_ms,omitempty"`
	ErrorRate float64 `json:"error_rate,omitempty"`
	Status    int     `json:"status,omitempty"`
	ResetRate float64 `json:"reset_rate,omitempty"`
	// Unauthorized refuses valid tokens: "once" or "always".
	Unauthorized string `json:"unauthorized,omitempty"`
}

// Faults is what the services do wrong.
type Faults struct {
	Vault FaultSet `json:"vault"`
	Entra FaultSet `json:"entra"`
}

// Outage makes Key Vault answer 503 to everything.
var Outage = Faults{Vault: FaultSet{ErrorRate: 1, Status: http.StatusServiceUnavailable}}

// Stats counts the calls of each operation (encrypt, decrypt, get, …) at Key Vault.
type Stats struct {
	Calls map[string]int `json:"calls"`
}

// StartEmulator starts the emulator in a folder of its own, with those flags besides, and waits until it is ready. It
// ends with the test.
func StartEmulator(t testing.TB, flags ...string) *Emulator {
	t.Helper()
	e := &Emulator{dir: filepath.Join(t.TempDir(), "akv"), flags: flags}
	e.start(t)
	return e
}

// StartEmulatorWithKeys is StartEmulator, with those keys beside the emulator's own.
func StartEmulatorWithKeys(t testing.TB, keys ...VectorKey) *Emulator {
	t.Helper()
	e := StartEmulator(t) // makes its files
	e.run.kill()
	for _, key := range keys {
		if err := e.addKey(key); err != nil {
			t.Fatal(err)
		}
	}
	e.start(t)
	return e
}

// Dir is the folder with the emulator's files.
func (e *Emulator) Dir() string {
	return e.dir
}

func (e *Emulator) start(t testing.TB) {
	t.Helper()
	output := &textBuffer{}
	run, err := spawn(output, Binary(t, "AKV_EMULATOR", "akv-emulator"), append([]string{"--dir", e.dir}, e.flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(run.kill)
	Eventually(t, patience, "the emulator is ready", func() bool {
		if !run.running() {
			t.Fatalf("the emulator ended:\n%s", output)
		}
		return strings.Contains(output.String(), "ready\n")
	})
	e.run = run
	e.readInfo(t)
}

func (e *Emulator) readInfo(t testing.TB) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(e.dir, "emulator.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &e.Info); err != nil {
		t.Fatal(err)
	}
}

// Flags gives the daemon's flags for this emulator.
func (e *Emulator) Flags(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(e.dir, "args"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// SetFaults makes the services misbehave.
func (e *Emulator) SetFaults(t testing.TB, faults Faults) {
	t.Helper()
	e.control(t, http.MethodPut, "/faults", faults, nil)
}

// ClearFaults ends all misbehaviour.
func (e *Emulator) ClearFaults(t testing.TB) {
	t.Helper()
	e.control(t, http.MethodDelete, "/faults", nil, nil)
}

// Stats gives the calls since the start or the last ResetStats.
func (e *Emulator) Stats(t testing.TB) Stats {
	t.Helper()
	var stats Stats
	e.control(t, http.MethodGet, "/stats", nil, &stats)
	return stats
}

// ResetStats begins to count anew.
func (e *Emulator) ResetStats(t testing.TB) {
	t.Helper()
	e.control(t, http.MethodDelete, "/stats", nil, nil)
}

// SetPermissions says what the service principal may do with the keys.
func (e *Emulator) SetPermissions(t testing.TB, operations ...string) {
	t.Helper()
	e.control(t, http.MethodPut, "/permissions", map[string][]string{e.Info.ClientID: append([]string{}, operations...)}, nil)
}

// Rotate adds a version to the key and gives its name.
func (e *Emulator) Rotate(t testing.TB) string {
	t.Helper()
	var answer struct{ Version string }
	e.control(t, http.MethodPost, "/keys/"+e.Info.KeyName+"/rotate", nil, &answer)
	return answer.Version
}

func (e *Emulator) control(t testing.TB, method, path string, body, answer any) {
	t.Helper()
	sent, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest(method, e.Info.ControlURL+path, bytes.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	status, text, err := do(request)
	if err != nil || status != http.StatusOK {
		t.Fatalf("%s %s: status %d, %v: %s", method, path, status, err, text)
	}
	if answer == nil {
		return
	}
	if err := json.Unmarshal(text, answer); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
}

func do(request *http.Request) (int, []byte, error) {
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, text, err
}

// get asks one of the daemon's HTTP ports; a refused connection is status 0.
func get(url string) (int, string) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	status, text, err := do(request)
	if err != nil {
		return 0, fmt.Sprint(err)
	}
	return status, string(text)
}

// Since gives the time since start in whole milliseconds, for tables.
func Since(start time.Time) time.Duration {
	return time.Since(start).Round(time.Millisecond)
}
