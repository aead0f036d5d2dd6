package kubelet

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"azure-kms-provider/interop/harness"
)

const token = "admin-token"

// api speaks to kube-apiserver, whose certificate is its own.
var api = &http.Client{
	Timeout:   10 * time.Second,
	Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
}

// call is one request; an error says what the API answered.
func call(method, path, body string) (string, error) {
	request, err := http.NewRequest(method, "https://127.0.0.1:6443"+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	response, err := api.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %.300s", method, path, response.Status, text)
	}
	return string(text), err
}

// create makes an object of a kind in the plural, whose content is the word "not-in-etcd".
func create(kind, name string) error {
	field := map[string]string{"secrets": "stringData", "configmaps": "data"}[kind]
	body := fmt.Sprintf(`{"metadata":{"name":%q},%q:{"password":"not-in-etcd"}}`, name, field)
	_, err := call("POST", "/api/v1/namespaces/default/"+kind, body)
	return err
}

// wantSealed writes an object, and wants it to be sealed in etcd and readable in the API.
func wantSealed(t *testing.T, kind, name, prefix string) {
	t.Helper()
	if err := create(kind, name); err != nil {
		t.Fatal(err)
	}
	value, err := exec.Command("etcdctl", "get", "--print-value-only", "/registry/"+kind+"/default/"+name).Output()
	if err != nil || !strings.HasPrefix(string(value), prefix) || strings.Contains(string(value), "not-in-etcd") {
		t.Errorf("%s %s is stored as %.100q, %v", kind, name, value, err)
	}
	if _, err := call("GET", "/api/v1/namespaces/default/"+kind+"/"+name, ""); err != nil {
		t.Error(err)
	}
}

// writers write secrets and config maps all the time, and try again what failed, as controllers do.
type writers struct {
	stop chan struct{}
	done sync.WaitGroup
	mu   sync.Mutex
	seen map[string]*outage
}

// outage is what one kind of object saw of a gap.
type outage struct {
	written, failed int
	longest         time.Duration // until a write had succeeded, from its first attempt
	last            error
}

func (o *outage) String() string {
	text := fmt.Sprintf("%d written, %d attempts failed, the slowest took %s", o.written, o.failed,
		o.longest.Round(10*time.Millisecond))
	if o.last != nil {
		text += fmt.Sprintf("; last error: %.200s", o.last)
	}
	return text
}

func startWriters(name string) *writers {
	w := &writers{stop: make(chan struct{}), seen: map[string]*outage{}}
	for _, kind := range []string{"secrets", "configmaps"} {
		seen := &outage{}
		w.seen[kind] = seen
		w.done.Go(func() { w.write(kind, name, seen) })
	}
	return w
}

func (w *writers) write(kind, name string, seen *outage) {
	for i := 0; ; i++ {
		for start := time.Now(); ; {
			err := create(kind, fmt.Sprintf("%s-%d", name, i))
			w.mu.Lock()
			if err == nil {
				seen.written++
				seen.longest = max(seen.longest, time.Since(start))
				w.mu.Unlock()
				break
			}
			seen.failed, seen.last = seen.failed+1, err
			w.mu.Unlock()
			time.Sleep(100 * time.Millisecond) // between two attempts
		}
		select {
		case <-w.stop:
			return
		case <-time.After(100 * time.Millisecond): // a load that does not slow down what is measured
		}
	}
}

// end waits until both have written once more, and shows what they saw.
func (w *writers) end(t *testing.T) {
	t.Helper()
	before := w.written()
	harness.Eventually(t, patience, "every kind is written again", func() bool {
		for kind, written := range w.written() {
			if written <= before[kind] {
				return false
			}
		}
		return true
	})
	close(w.stop)
	w.done.Wait()
	for kind, seen := range w.seen {
		t.Logf("%s: %s", kind, seen)
	}
}

func (w *writers) written() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	written := map[string]int{}
	for kind, seen := range w.seen {
		written[kind] = seen.written
	}
	return written
}
