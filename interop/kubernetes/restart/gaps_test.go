package restart

import (
	"fmt"
	"os"
	"testing"
	"time"

	"azure-kms-provider/interop/harness"
	"azure-kms-provider/interop/kubernetes/encryption"
)

// table is what the tests of this package measured.
var table = harness.NewTable("Event", "KMS", "Down", "Writes", "Failed writes", "Longest write",
	"First success after the start")

// gap is one length of time for which the daemon is down.
type gap struct {
	length time.Duration
	// errors is how many writes of one client may fail. grpc-go dials at once, after 1 s, and 1.3 to 1.9 s later; a
	// write waits 3 s.
	errors int
}

func gaps() []gap {
	gaps := []gap{
		{200 * time.Millisecond, 0}, {500 * time.Millisecond, 0}, {900 * time.Millisecond, 0},
		{1400 * time.Millisecond, 1}, {3 * time.Second, 2},
	}
	if os.Getenv("INTEROP_LONG") != "" {
		gaps = append(gaps, gap{10 * time.Second, 7}, gap{30 * time.Second, 21})
	}
	return gaps
}

func TestWritesRecoverByThemselvesAfterTheDaemonWasDown(t *testing.T) {
	t.Parallel()
	for place, gap := range gaps() {
		t.Run(gap.length.String(), func(t *testing.T) {
			t.Parallel()
			afterGap(t, 10*(place+1), gap)
		})
	}
}

// afterGap kills the daemon and starts it again, while an API server with v1 and one with v2 write five secrets a second.
func afterGap(t *testing.T, place int, gap gap) {
	daemon := harness.StartDaemon(t, harness.StartEmulator(t))
	const pause = 200 * time.Millisecond
	v1 := startLoad(encryption.Start(t, encryption.Config(t, encryption.V1, daemon.Socket)), 1, pause)
	v2 := startLoad(encryption.Start(t, encryption.Config(t, encryption.V2, daemon.Socket)), 1, pause)
	waitForAll(t, v1, 1, time.Now())

	v1.whileIdle(daemon.Kill) // what is in flight then is another test's
	killed := time.Now()
	harness.Elapsed(killed, gap.length)
	start := time.Now()
	daemon.Start(t)
	waitForAll(t, v1, 1, start)
	v1.stop()
	v2.stop()
	event := "SIGKILL, one client"
	took := sinceStart(v1, start)
	publish(place, event, "v1", gap.length, v1, took)
	publish(place+1, event, "v2", gap.length, v2, "–")

	if got := v1.failed(); got > gap.errors {
		t.Errorf("%d writes failed with v1: %v", got, v1.failures())
	}
	if latest := gap.length + 3*time.Second; took > latest {
		t.Errorf("v1 recovered %s after the start, later than %s", took, latest)
	}
	if got := v2.failures(); len(got) > 0 {
		t.Errorf("writes need no daemon with v2, yet: %v", got)
	}
}

// sinceStart gives the time from the start of the daemon to the first success.
func sinceStart(l *load, start time.Time) time.Duration {
	_, first := l.servedAfter(start)
	return first.Sub(start).Round(time.Millisecond)
}

func publish(place int, event, api string, down time.Duration, l *load, recovered any) {
	table.Row(place, event, api, down, l.count(), l.failed(), l.longest(), recovered)
}

// waitForAll waits until every writer had a success after that time.
func waitForAll(t *testing.T, l *load, wanted int, since time.Time) {
	t.Helper()
	harness.Eventually(t, 90*time.Second, fmt.Sprintf("%d writers are served", wanted), func() bool {
		served, _ := l.servedAfter(since)
		return served == wanted
	})
}
