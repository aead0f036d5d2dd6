package grpcgo

import (
	"strings"
	"testing"

	"azure-kms-provider/interop/harness"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

func TestBothAPIsAreServedUnderTheDefaultAuthority(t *testing.T) {
	daemon := harness.StartDaemon(t, harness.StartEmulator(t))
	dial(t, daemon.Socket).roundTrips(t)
}

func TestBothAPIsAreServedAtAnAbstractSocket(t *testing.T) {
	daemon := harness.NewDaemonAtAbstractSocket(t, harness.StartEmulator(t))
	daemon.Start(t)
	daemon.WaitForHealthz(t, 200)
	dial(t, daemon.Socket).roundTrips(t)
}

func TestBothAPIsAreServedUnderEveryAuthority(t *testing.T) {
	daemon := harness.StartDaemon(t, harness.StartEmulator(t))
	for _, authority := range []string{
		"localhost",                // kube-apiserver's v2 client from 1.32 on
		"/opt/azurekms.socket",     // both clients up to 1.28
		"%2Fopt%2Fazurekms.socket", // the v1 client from 1.29 on
		"opt%2Fazurekms.socket",    // clients on gRPC's C library
		"@azurekms",                // an abstract socket
	} {
		t.Run(authority, func(t *testing.T) {
			dial(t, daemon.Socket, grpc.WithAuthority(authority)).roundTrips(t)
		})
	}
}

func TestLargeHeadersUnderABadAuthorityAreServed(t *testing.T) {
	daemon := harness.StartDaemon(t, harness.StartEmulator(t))
	c := dial(t, daemon.Socket, grpc.WithAuthority("%2Fopt%2Fazurekms.socket"))
	for _, size := range []int{1, 1000, 12_000} { // a tilde takes no less when it is compressed
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-large", strings.Repeat("~", size))
		if err := c.roundTripV1(ctx); err != nil {
			t.Errorf("with a header of %d bytes: %v", size, err)
		}
	}
}

func TestHeadersBeyondTheLimitFailOnlyTheirOwnCall(t *testing.T) {
	daemon := harness.StartDaemon(t, harness.StartEmulator(t))
	c := dial(t, daemon.Socket)
	c.roundTrips(t)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-large", strings.Repeat("a", 200_000))
	_, err := c.encryptV1(ctx, dek)
	wantCode(t, "a header of 200 kB", err, codes.Internal)
	c.roundTrips(t)
}
