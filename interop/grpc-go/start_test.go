package grpcgo

import (
	"errors"
	"testing"

	"azure-kms-provider/interop/harness"
)

func TestACallThatIsMadeBeforeTheDaemonStartsIsServed(t *testing.T) {
	daemon := harness.NewDaemon(t, harness.StartEmulator(t))
	dialled := make(chan struct{}, 1)
	c := dial(t, daemon.Socket, reportDials(daemon.Socket, dialled))
	outcome := make(chan error)
	go func() { _, err := c.encryptV1(t.Context(), dek); outcome <- err }()
	<-dialled // in vain: there is no socket yet
	daemon.Start(t)
	if err := <-outcome; err != nil {
		t.Error(err)
	}
}

func TestAClientSurvivesRestartsOfTheDaemon(t *testing.T) {
	daemon := harness.StartDaemon(t, harness.StartEmulator(t))
	c := dial(t, daemon.Socket)
	for _, stop := range []func(){func() { daemon.Terminate(t) }, daemon.Kill} {
		c.roundTrips(t)
		stop()
		daemon.Start(t)
		daemon.WaitForLog(t, `"Healthy"`)
	}
	c.roundTrips(t)
}

func TestWhatWasSealedBeforeARestartIsOpenedAfterIt(t *testing.T) {
	daemon := harness.StartDaemon(t, harness.StartEmulator(t))
	c := dial(t, daemon.Socket)
	cipher, errV1 := c.encryptV1(t.Context(), dek)
	sealed, errV2 := c.encryptV2(t.Context(), dek)
	if err := errors.Join(errV1, errV2); err != nil {
		t.Fatal(err)
	}
	daemon.Restart(t)
	plain, errV1 := c.decryptV1(t.Context(), cipher)
	plaintext, errV2 := c.decryptV2(t.Context(), sealed)
	if err := errors.Join(errV1, errV2); err != nil || string(plain) != string(dek) || string(plaintext) != string(dek) {
		t.Errorf("%q, %q, %v", plain, plaintext, err)
	}
}
