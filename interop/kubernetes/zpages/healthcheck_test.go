package zpages

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"azure-kms-provider/interop/harness"
	"k8s.io/component-base/metrics/prometheus/slis"
)

// gauges gives the samples of the health checks, sorted.
func gauges(metrics string) []string {
	var found []string
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "kubernetes_healthcheck{") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	slices.Sort(found)
	return found
}

func TestEachHealthCheckIsTheGaugeThatKubernetesExports(t *testing.T) {
	daemon := harness.StartDaemon(t, harness.StartEmulator(t))
	daemon.WaitForHealthz(t, http.StatusOK)
	mux := http.NewServeMux()
	slis.SLIMetrics{}.Install(mux)
	for _, check := range []string{"actors", "grpc-socket", "token", "key-vault"} {
		if err := slis.ObserveHealthcheck(t.Context(), check, "healthz", slis.Success); err != nil {
			t.Fatal(err)
		}
	}
	theirs := httptest.NewServer(mux)
	defer theirs.Close()
	want := gauges(ask(t, theirs.URL+"/metrics/slis", "").body)
	if got := gauges(daemon.Metrics(t)); len(want) != 4 || !slices.Equal(got, want) {
		t.Errorf("%q, and Kubernetes %q", got, want)
	}
}
