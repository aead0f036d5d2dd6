// Package lifecycle tests what KMS v2 promises over the life of a kube-apiserver: seed, key_id, write lease, limits.
package lifecycle

import (
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
)

// clock is what kube-apiserver takes for the time of one provider: the real one, moved forward.
type clock struct {
	ahead atomic.Int64
}

// newClock puts the provider on a clock of its own until the test ends.
func newClock(t *testing.T, provider string) *clock {
	c := &clock{}
	t.Cleanup(kmsv2.SetNowFuncForTests(provider, func() time.Time {
		return time.Now().Add(time.Duration(c.ahead.Load()))
	}))
	return c
}

func (c *clock) forward(by time.Duration) {
	c.ahead.Add(int64(by))
}
