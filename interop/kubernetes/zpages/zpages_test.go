// Package zpages holds no code: its tests compare /statusz and /flagz with those of Kubernetes' own components.
package zpages

import (
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"azure-kms-provider/interop/harness"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/server/flagz"
	flagzalpha "k8s.io/apiserver/pkg/server/flagz/api/v1alpha1"
	flagzbeta "k8s.io/apiserver/pkg/server/flagz/api/v1beta1"
	"k8s.io/apiserver/pkg/server/statusz"
	statuszalpha "k8s.io/apiserver/pkg/server/statusz/api/v1alpha1"
	statuszbeta "k8s.io/apiserver/pkg/server/statusz/api/v1beta1"
	"k8s.io/component-base/compatibility"
)

const component = "azure-kms-provider"

// What either page is asked for with. KIND is that of the page, OTHER that of the other one.
var accepts = []string{
	"",
	" ",
	"*/*",
	"text/plain",
	"text/*",
	"text/plain;charset=utf-8",
	"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
	"text/html",
	"nonsense",
	"application/json",
	"application/json, text/plain",
	"application/json;q=0.9, text/plain;q=0.8",
	"application/json;as=KIND",
	"application/json;v=v1beta1;g=config.k8s.io",
	"application/json;v=v1beta1;g=config.k8s.io;as=KIND",
	"application/json; v=v1beta1; g=config.k8s.io; as=KIND",
	"application/json;as=KIND;v=v1alpha1;g=config.k8s.io",
	"application/json;v=v1beta1;g=config.k8s.io;as=OTHER",
	"application/json;v=v1;g=config.k8s.io;as=KIND",
	"application/json;v=v1beta1;g=apps;as=KIND",
	"application/*;v=v1beta1;g=config.k8s.io;as=KIND",
	"*/*;v=v1beta1;g=config.k8s.io;as=KIND",
	"text/plain;v=v1beta1;g=config.k8s.io;as=KIND",
	"*/*,application/json;v=v1beta1;g=config.k8s.io;as=KIND",
	"application/json;v=v1beta1;g=config.k8s.io;as=KIND,*/*",
	"application/json;v=v1;g=config.k8s.io;as=KIND,application/json;v=v1alpha1;g=config.k8s.io;as=KIND",
	"application/json;v=v1beta1;g=config.k8s.io;as=KIND;q=0.5,text/plain;q=0.9",
	"application/vnd.kubernetes.protobuf;v=v1beta1;g=config.k8s.io;as=KIND",
}

type flags map[string]string

func (f flags) GetFlagz() map[string]string { return f }

// kubernetes serves both pages with the code of Kubernetes' components.
func kubernetes(t *testing.T) string {
	mux := http.NewServeMux()
	version := compatibility.NewEffectiveVersionFromString("1.37", "", "")
	statusz.Install(mux, component, statusz.NewRegistry(version, statusz.WithListedPaths([]string{"/livez"})))
	flagz.Install(mux, component, flags{"v": "0"})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

type answer struct {
	status      int
	contentType string
	warning     string
	body        string
}

func ask(t *testing.T, url, accept string) answer {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	contentType, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, contentType, response.Header.Get("Warning"), string(body)}
}

func TestEveryAcceptHeaderIsAnsweredInTheFormAndWithTheWarningThatKubernetesGives(t *testing.T) {
	daemon, theirs := harness.StartDaemon(t, harness.StartEmulator(t)), kubernetes(t)
	seen := map[int]bool{}
	for page, kinds := range map[string][]string{"/statusz": {"Statusz", "Flagz"}, "/flagz": {"Flagz", "Statusz"}} {
		for _, accept := range accepts {
			accept = strings.NewReplacer("KIND", kinds[0], "OTHER", kinds[1]).Replace(accept)
			want, got := ask(t, theirs+page, accept), ask(t, daemon.HealthzURL(page), accept)
			seen[want.status] = true
			if want.status != got.status || want.contentType != got.contentType || want.warning != got.warning {
				t.Errorf("%s, Accept %q: %+v, and Kubernetes %+v", page, accept, got, want)
			}
			if want.contentType == "text/plain" && want.status == 200 && head(want.body) != head(got.body) {
				t.Errorf("%s: %q, and Kubernetes %q", page, head(got.body), head(want.body))
			}
		}
	}
	if !seen[http.StatusOK] || !seen[http.StatusNotAcceptable] {
		t.Errorf("Kubernetes answered with %v", seen)
	}
}

// head gives the lines that every page begins with.
func head(page string) string {
	lines := strings.SplitN(page, "\n", 4)
	return strings.Join(lines[:3], "\n")
}

// decode reads an object as Kubernetes reads one, and takes no field that it does not know.
func decode(t *testing.T, url, accept string) runtime.Object {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		statuszalpha.AddToScheme, statuszbeta.AddToScheme, flagzalpha.AddToScheme, flagzbeta.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	got := ask(t, url, accept)
	codecs := serializer.NewCodecFactory(scheme, serializer.EnableStrict)
	object, _, err := codecs.UniversalDeserializer().Decode([]byte(got.body), nil, nil)
	if err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	return object
}

func TestTheObjectsAreThoseOfKubernetes(t *testing.T) {
	before := time.Now()
	daemon := harness.StartDaemon(t, harness.StartEmulator(t), "--proxy-address=user:s3cr3t@proxy")
	status := func(version string) runtime.Object {
		return decode(t, daemon.HealthzURL("/statusz"), "application/json;g=config.k8s.io;as=Statusz;v="+version)
	}
	beta, alpha := status("v1beta1").(*statuszbeta.Statusz), status("v1alpha1").(*statuszalpha.Statusz)
	if beta.Name != component || beta.BinaryVersion == "" || beta.UptimeSeconds < 0 {
		t.Errorf("%+v", beta)
	}
	if since := beta.StartTime.Sub(before); since < -time.Second || since > time.Since(before) {
		t.Errorf("started %v after the test", since)
	}
	if want := []string{"/flagz", "/healthz", "/livez", "/readyz", "/statusz"}; !slices.Equal(beta.Paths, want) {
		t.Errorf("paths %v", beta.Paths)
	}
	if alpha.BinaryVersion != beta.BinaryVersion || !alpha.StartTime.Equal(&beta.StartTime) {
		t.Errorf("%+v, and in the older version %+v", beta, alpha)
	}
	flag := func(version string) runtime.Object {
		return decode(t, daemon.HealthzURL("/flagz"), "application/json;g=config.k8s.io;as=Flagz;v="+version)
	}
	for _, shown := range []map[string]string{
		flag("v1beta1").(*flagzbeta.Flagz).Flags, flag("v1alpha1").(*flagzalpha.Flagz).Flags,
	} {
		if shown["health-interval"] != "200ms" || shown["proxy-address"] != "CLASSIFIED" {
			t.Errorf("%v", shown)
		}
	}
}
