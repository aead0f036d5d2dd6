package lifecycle

import (
	"strings"
	"testing"
	"time"

	"azure-kms-provider/interop/harness"
	"azure-kms-provider/interop/kubernetes/encryption"
)

const (
	// pastTheLease is more than the 3 minutes for which kube-apiserver writes after a good Status.
	pastTheLease = 4 * time.Minute
	// nextStatus is more than the 20 s for which kube-apiserver keeps the result of a good Status; that cache runs on
	// the real clock.
	nextStatus = 40 * time.Second
)

// leased starts a daemon, and an API server whose lease on the provider runs on its own clock.
func leased(t *testing.T, provider string) (*harness.Emulator, *harness.Daemon, *clock, *encryption.APIServer) {
	emulator := harness.StartEmulator(t)
	daemon := harness.StartDaemon(t, emulator)
	clock := newClock(t, provider)
	config := encryption.Config(t, encryption.V2, daemon.Socket, encryption.Provider, provider)
	return emulator, daemon, clock, encryption.Start(t, config)
}

func wantExpired(t *testing.T, server *encryption.APIServer) {
	t.Helper()
	if _, err := server.Write(); err == nil || !strings.Contains(err.Error(), "expired at") {
		t.Fatalf("the lease has not expired: %v", err)
	}
}

func TestWithoutTheDaemonWritesEndWithTheLeaseAndReadsGoOnUntilItIsBack(t *testing.T) {
	t.Parallel()
	_, daemon, clock, server := leased(t, "lease")
	stored := server.MustWrite(t)
	daemon.Terminate(t)
	server.MustWrite(t) // the lease is still good
	clock.forward(pastTheLease)
	wantExpired(t, server)
	if _, err := server.Read(stored); err != nil {
		t.Errorf("reads need no lease: %v", err)
	}
	daemon.Start(t)
	harness.Eventually(t, nextStatus, "writes work again", func() bool {
		_ = server.Health() // asks for a Status, as a request of /readyz does
		_, err := server.Write()
		return err == nil
	})
	if stale, err := server.Read(stored); err != nil || stale {
		t.Errorf("stale %v, %v", stale, err)
	}
}

func TestAnOutageOfKeyVaultIsReportedAndDoesNotEndTheLease(t *testing.T) {
	t.Parallel()
	emulator, daemon, clock, server := leased(t, "outage")
	emulator.SetFaults(t, harness.Outage)
	daemon.WaitForHealthz(t, 500)
	clock.forward(pastTheLease)
	wantExpired(t, server)
	unhealthy := func() bool {
		err := server.Health()
		return err != nil && strings.Contains(err.Error(), "unexpected healthz status: key-vault")
	}
	harness.Eventually(t, nextStatus, "the API server is told of the outage", unhealthy)
	server.MustWrite(t) // because that Status had the key_id

	clock.forward(pastTheLease)
	wantExpired(t, server)
	harness.Eventually(t, nextStatus, "another Status extends the lease", func() bool {
		_, err := server.Write()
		return unhealthy() && err == nil
	})
	emulator.ClearFaults(t)
	harness.Eventually(t, nextStatus, "the API server is healthy", func() bool { return server.Health() == nil })
}
