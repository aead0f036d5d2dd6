package grpcgo

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"azure-kms-provider/interop/harness"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	kmsv2 "k8s.io/kms/apis/v2"
)

func TestManyConcurrentCallsAreServedOverOneConnection(t *testing.T) {
	daemon := harness.StartDaemon(t, harness.StartEmulator(t), "--health-interval=1h")
	var dials atomic.Int32
	c := dial(t, daemon.Socket, grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
		dials.Add(1)
		return connect(daemon.Socket)
	}))
	before := daemon.Metric(t, "azure_kms_requests_total", `method="encrypt"`, `code="OK"`)
	const callers = 100
	var group sync.WaitGroup
	for range callers {
		group.Go(func() { c.roundTrips(t) })
	}
	group.Wait()
	if got := dials.Load(); got != 1 {
		t.Errorf("%d connections, not 1", got)
	}
	served := daemon.Metric(t, "azure_kms_requests_total", `method="encrypt"`, `code="OK"`) - before
	if served != 2*callers {
		t.Errorf("the daemon counts %v times Encrypt, not %d", served, 2*callers)
	}
}

func TestWhenKeyVaultIsSilentTheDaemonAnswersBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	emulator := harness.StartEmulator(t)
	daemon := harness.StartDaemon(t, emulator)
	c := dial(t, daemon.Socket)
	c.roundTrips(t)
	emulator.SetFaults(t, harness.Faults{Vault: harness.FaultSet{LatencyMS: 60_000}})
	start := time.Now()
	_, err := c.encryptV1(t.Context(), dek)
	took := time.Since(start)
	wantCode(t, "Encrypt", err, codes.DeadlineExceeded)
	// grpc-go's own timeout has the same code, but not this text.
	if !strings.Contains(status.Convert(err).Message(), "Key Vault does not answer") {
		t.Errorf("the daemon does not say why: %v", err)
	}
	if took < callTimeout-500*time.Millisecond || took >= callTimeout {
		t.Errorf("answered after %s", took)
	}
}

func TestRequestsThatCannotWorkAreInvalidArguments(t *testing.T) {
	daemon := harness.StartDaemon(t, harness.StartEmulator(t))
	c, ctx := dial(t, daemon.Socket), t.Context()
	for what, size := range map[string]int{
		"nothing": 0, "more than the key can encrypt": 246, "more than the daemon reads": 200_000,
	} {
		_, err := c.encryptV1(ctx, make([]byte, size))
		wantCode(t, "v1 Encrypt of "+what, err, codes.InvalidArgument)
		_, err = c.decryptV1(ctx, make([]byte, size))
		wantCode(t, "v1 Decrypt of "+what, err, codes.InvalidArgument)
		_, err = c.encryptV2(ctx, make([]byte, size))
		wantCode(t, "v2 Encrypt of "+what, err, codes.InvalidArgument)
	}
}

func TestCiphertextsOfOthersAreInvalidArguments(t *testing.T) {
	daemon := harness.StartDaemon(t, harness.StartEmulator(t))
	c, ctx := dial(t, daemon.Socket), t.Context()
	sealed, err := c.encryptV2(ctx, dek)
	if err != nil {
		t.Fatal(err)
	}
	ciphertext, keyID, annotations := sealed.Ciphertext, sealed.KeyId, sealed.Annotations
	for what, foreign := range map[string]*kmsv2.EncryptResponse{
		"text":                {Ciphertext: []byte("not a ciphertext"), KeyId: keyID, Annotations: annotations},
		"an unknown key_id":   {Ciphertext: ciphertext, KeyId: strings.Repeat("0", 64), Annotations: annotations},
		"missing annotations": {Ciphertext: ciphertext, KeyId: keyID},
		"another key's RSA":   {Ciphertext: []byte(strings.Repeat("A", 342)), KeyId: keyID, Annotations: annotations},
	} {
		_, err := c.decryptV2(ctx, foreign)
		wantCode(t, "v2 Decrypt of "+what, err, codes.InvalidArgument)
	}
	_, err = c.decryptV1(ctx, []byte("not a ciphertext"))
	wantCode(t, "v1 Decrypt of text", err, codes.InvalidArgument)
}

func TestFailuresOfAzureHaveTheirOwnCodes(t *testing.T) {
	for what, test := range map[string]struct {
		fault harness.FaultSet
		want  codes.Code
	}{
		"a 503 of Key Vault":  {harness.Outage.Vault, codes.Unavailable},
		"a broken connection": {harness.FaultSet{ResetRate: 1}, codes.Unavailable},
		"a 403 of Key Vault":  {harness.FaultSet{ErrorRate: 1, Status: 403}, codes.PermissionDenied},
		"a 429 of Key Vault":  {harness.FaultSet{ErrorRate: 1, Status: 429}, codes.ResourceExhausted},
		"a refused token":     {harness.FaultSet{Unauthorized: "always"}, codes.Unauthenticated},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			failsWith(t, test.fault, test.want)
		})
	}
}

// failsWith sets the fault, wants that code of both APIs, and wants both to work again after the fault.
func failsWith(t *testing.T, fault harness.FaultSet, want codes.Code) {
	emulator := harness.StartEmulator(t)
	daemon := harness.StartDaemon(t, emulator)
	c := dial(t, daemon.Socket)
	emulator.SetFaults(t, harness.Faults{Vault: fault})
	_, err := c.encryptV1(t.Context(), dek)
	wantCode(t, "v1 Encrypt", err, want)
	_, err = c.encryptV2(t.Context(), dek)
	wantCode(t, "v2 Encrypt", err, want)
	emulator.ClearFaults(t)
	// until a probe has found Key Vault back, an open breaker refuses calls
	harness.Eventually(t, 30*time.Second, "the circuit breaker closes", func() bool {
		return daemon.Metric(t, "azure_kms_key_vault_breaker_open") == 0
	})
	daemon.WaitForHealthz(t, 200)
	c.roundTrips(t)
}

func TestAnOutageIsAStatusWithKeyIDAndNeverAnError(t *testing.T) {
	t.Parallel()
	emulator := harness.StartEmulator(t)
	daemon := harness.StartDaemon(t, emulator)
	c := dial(t, daemon.Socket)
	before, err := c.v2.Status(t.Context(), &kmsv2.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	emulator.SetFaults(t, harness.Outage)
	daemon.WaitForHealthz(t, 500)
	during, err := c.v2.Status(t.Context(), &kmsv2.StatusRequest{})
	if err != nil || during.Healthz == "ok" || during.KeyId != before.KeyId || during.Version != before.Version {
		t.Errorf("Status in an outage: %v, %v", during, err)
	}
}
