package restart

import (
	"testing"
	"time"

	"azure-kms-provider/interop/harness"
	"azure-kms-provider/interop/kubernetes/encryption"
)

// The tests of this file have the machine to themselves: they do not run in parallel.

const writers = 50

// crowd starts writers of v1 secrets, and returns when all of them wait for Key Vault.
func crowd(t *testing.T) (*harness.Daemon, *load) {
	emulator := harness.StartEmulator(t)
	daemon := harness.StartDaemon(t, emulator, "--health-interval=1h")
	server := encryption.Start(t, encryption.Config(t, encryption.V1, daemon.Socket))
	server.MustWrite(t)
	emulator.SetFaults(t, harness.Faults{Vault: harness.FaultSet{LatencyMS: 500}})
	l := startLoad(server, writers, 0)
	harness.Eventually(t, 5*time.Second, "all writes are in flight", func() bool {
		return daemon.Metric(t, "azure_kms_requests_in_flight") == writers
	})
	return daemon, l
}

func TestSIGTERMUnderFiftyWritesAndAStartAtOnceFailNone(t *testing.T) {
	daemon, l := crowd(t)
	signalled := time.Now()
	daemon.Terminate(t)
	start := time.Now()
	daemon.Start(t)
	waitForAll(t, l, writers, start)
	l.stop()
	publish(1, "SIGTERM under 50 writers", "v1", harness.Since(signalled)-harness.Since(start), l, sinceStart(l, start))
	if failures := l.failures(); len(failures) > 0 {
		t.Errorf("writes failed: %v", failures)
	}
}

func TestSIGKILLUnderFiftyWritesFailsNoMoreThanThoseAndNeedsNoRestartOfTheClient(t *testing.T) {
	daemon, l := crowd(t)
	killed := time.Now()
	daemon.Kill()
	start := time.Now()
	daemon.Start(t)
	waitForAll(t, l, writers, start)
	l.stop()
	publish(2, "SIGKILL under 50 writers", "v1", harness.Since(killed)-harness.Since(start), l, sinceStart(l, start))
	for writer, errs := range l.failures() {
		if len(errs) > 1 {
			t.Errorf("writer %d failed more than once: %v", writer, errs)
		}
	}
}
