package restart

import (
	"testing"
	"time"

	"azure-kms-provider/interop/harness"
	"azure-kms-provider/interop/kubernetes/encryption"
)

func TestWithV1AWriteWaitsForADaemonThatStartsLate(t *testing.T) {
	t.Parallel()
	daemon := harness.NewDaemon(t, harness.StartEmulator(t))
	server := encryption.Start(t, encryption.Config(t, encryption.V1, daemon.Socket))
	written := make(chan error)
	began := time.Now()
	go func() { _, err := server.Write(); written <- err }()
	harness.Elapsed(began, 500*time.Millisecond)
	daemon.Start(t)
	if err := <-written; err != nil {
		t.Errorf("after %s: %v", harness.Since(began), err)
	}
}

func TestWithV2WritesBeginWithinTenSecondsOfALateStart(t *testing.T) {
	t.Parallel()
	daemon := harness.NewDaemon(t, harness.StartEmulator(t))
	server := encryption.Start(t, encryption.Config(t, encryption.V2, daemon.Socket))
	if _, err := server.Write(); err == nil {
		t.Error("written without a daemon")
	}
	start := time.Now()
	daemon.Start(t)
	// kube-apiserver asks every 10 s until it is served, also when nobody asks for its health.
	harness.Eventually(t, 13*time.Second, "the API server has its seed", func() bool {
		_, err := server.Write()
		return err == nil
	})
	table.Row(3, "start after the API server", "v2", "–", "–", "–", "–", harness.Since(start))
}
