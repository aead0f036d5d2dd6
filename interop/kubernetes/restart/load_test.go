// Package restart holds no code: its tests stop, kill and start the daemon, and measure what kube-apiserver's users
// would have seen.
package restart

import (
	"sync"
	"time"

	"azure-kms-provider/interop/kubernetes/encryption"
)

// write is one write of a secret.
type write struct {
	writer     int
	start, end time.Time
	err        error
}

// load is a number of writers that write secrets until they are stopped.
type load struct {
	stopping chan struct{}
	group    sync.WaitGroup
	inFlight sync.RWMutex // read-locked by each write
	mu       sync.Mutex
	writes   []write
}

// startLoad starts the writers. Each begins a write every pause, or as soon as its last has ended.
func startLoad(server *encryption.APIServer, writers int, pause time.Duration) *load {
	l := &load{stopping: make(chan struct{})}
	for writer := range writers {
		l.group.Go(func() {
			for l.goesOn() {
				l.inFlight.RLock()
				start := time.Now()
				_, err := server.Write()
				l.record(write{writer, start, time.Now(), err})
				l.inFlight.RUnlock()
				time.Sleep(time.Until(start.Add(pause)))
			}
		})
	}
	return l
}

func (l *load) goesOn() bool {
	select {
	case <-l.stopping:
		return false
	default:
		return true
	}
}

// whileIdle acts between the writes.
func (l *load) whileIdle(act func()) {
	l.inFlight.Lock()
	defer l.inFlight.Unlock()
	act()
}

func (l *load) record(w write) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes = append(l.writes, w)
}

// stop ends the load; what is in flight is finished.
func (l *load) stop() {
	close(l.stopping)
	l.group.Wait()
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.writes)
}

// failures gives the errors of each writer that had any.
func (l *load) failures() map[int][]error {
	l.mu.Lock()
	defer l.mu.Unlock()
	failures := map[int][]error{}
	for _, w := range l.writes {
		if w.err != nil {
			failures[w.writer] = append(failures[w.writer], w.err)
		}
	}
	return failures
}

func (l *load) failed() int {
	failed := 0
	for _, errs := range l.failures() {
		failed += len(errs)
	}
	return failed
}

// longest gives the time that the slowest write took, failed or not, in whole milliseconds rounded up.
func (l *load) longest() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var longest time.Duration
	for _, w := range l.writes {
		longest = max(longest, w.end.Sub(w.start))
	}
	return (longest + time.Millisecond - 1).Truncate(time.Millisecond)
}

// servedAfter gives how many writers had a success that ended after that time, and when the first of those ended.
func (l *load) servedAfter(since time.Time) (writers int, first time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	served := map[int]bool{}
	for _, w := range l.writes {
		if w.err != nil || w.end.Before(since) {
			continue
		}
		if len(served) == 0 {
			first = w.end
		}
		served[w.writer] = true
	}
	return len(served), first
}
