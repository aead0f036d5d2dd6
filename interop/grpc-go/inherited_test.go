package grpcgo

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"azure-kms-provider/interop/harness"
	"google.golang.org/grpc"
)

// clients call without a pause, each on a connection of its own, until they are stopped.
type clients struct {
	stopping chan struct{}
	group    sync.WaitGroup
	calls    atomic.Int64
	refused  atomic.Int64
	mu       sync.Mutex
	longest  time.Duration // of a v1 and a v2 call in a row
}

func startClients(t *testing.T, socket string, count int) *clients {
	cs := &clients{stopping: make(chan struct{})}
	for range count {
		c := dial(t, socket, grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			connection, err := connect(socket)
			if err != nil {
				cs.refused.Add(1)
			}
			return connection, err
		}))
		cs.group.Go(func() { cs.run(t, c) })
	}
	return cs
}

func (cs *clients) run(t *testing.T, c client) {
	for {
		select {
		case <-cs.stopping:
			return
		default:
		}
		start := time.Now()
		_, err := c.encryptV1(t.Context(), dek)
		if err != nil {
			t.Errorf("v1 Encrypt: %v", err)
		}
		if _, err = c.encryptV2(t.Context(), dek); err != nil {
			t.Errorf("v2 Encrypt: %v", err)
		}
		cs.calls.Add(2)
		cs.took(time.Since(start))
	}
}

func (cs *clients) took(length time.Duration) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.longest = max(cs.longest, length)
}

// more waits until so many more calls have ended.
func (cs *clients) more(t *testing.T, calls int64) {
	wanted := cs.calls.Load() + calls
	harness.Eventually(t, 10*callTimeout, "the clients go on", func() bool { return cs.calls.Load() >= wanted })
}

func TestRestartsWithAnInheritedSocketFailNoCallAndRefuseNoConnection(t *testing.T) {
	daemon := harness.NewDaemon(t, harness.StartEmulator(t))
	daemon.KeepSocket(t)
	daemon.Start(t)
	cs := startClients(t, daemon.Socket, 50)
	for range 5 {
		cs.more(t, 500)
		daemon.Restart(t)
	}
	cs.more(t, 500)
	close(cs.stopping)
	cs.group.Wait()
	t.Logf("%d calls, the longest pair took %s", cs.calls.Load(), cs.longest)
	if refused := cs.refused.Load(); refused != 0 {
		t.Errorf("%d connections were refused", refused)
	}
}
