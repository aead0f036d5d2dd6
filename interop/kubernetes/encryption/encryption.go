// Package encryption reads the operator's EncryptionConfiguration with kube-apiserver's own code, as kube-apiserver
// does at its start, for all suites of this module.
package encryption

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"azure-kms-provider/interop/harness"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
	"k8s.io/apiserver/pkg/storage/value"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/klog/v2"
)

// API is one version of the KMS API as the operator configures it.
type API struct {
	// Name is v1 or v2.
	Name string
	// File is the operator's configuration.
	File string
}

// Prefix is what a stored value begins with.
func (a API) Prefix(provider string) string {
	return "k8s:enc:kms:" + a.Name + ":" + provider + ":"
}

// Provider is the name that both files give to the plugin.
const Provider = "azurekmsprovider"

// endpoint is the socket in both files.
const endpoint = "unix:///opt/azurekms.socket"

var (
	// V1 is KMS v1.
	V1 = API{"v1", "encryptionconfig.yaml"}
	// V2 is KMS v2.
	V2 = API{"v2", "encryptionconfig-v2.yaml"}
	// Both are the APIs that kube-apiserver knows.
	Both = []API{V1, V2}
)

// manifests is the folder of the operator's files.
var manifests = filepath.Join(harness.Repository(), "manifests")

// kube-apiserver's code logs every failed operation; what matters of that is in the errors that the tests look at.
func init() {
	var flags flag.FlagSet
	klog.InitFlags(&flags)
	for name, value := range map[string]string{"logtostderr": "false", "stderrthreshold": "FATAL"} {
		if err := flags.Set(name, value); err != nil {
			panic(err)
		}
	}
	klog.SetOutput(io.Discard)
}

// allowKMSv1 is the --feature-gates=KMSv1=true that KMS v1 needs since Kubernetes 1.29.
var allowKMSv1 = sync.OnceValue(func() error {
	return utilfeature.DefaultMutableFeatureGate.Set("KMSv1=true")
})

// Config gives the operator's file with the daemon's socket in it. The pairs of old and new replace other parts.
func Config(t testing.TB, api API, socket string, pairs ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(manifests, api.File))
	if err != nil {
		t.Fatal(err)
	}
	pairs = append([]string{endpoint, Endpoint(socket)}, pairs...)
	for i := 0; i < len(pairs); i += 2 {
		if !bytes.Contains(text, []byte(pairs[i])) {
			t.Fatalf("%s does not contain %q", api.File, pairs[i])
		}
	}
	return strings.NewReplacer(pairs...).Replace(string(text))
}

// Endpoint gives a socket as the operator writes it.
func Endpoint(socket string) string {
	return "unix:///" + strings.TrimPrefix(socket, "/")
}

// APIServer is what kube-apiserver keeps of the file: transformers and health checks.
type APIServer struct {
	config *encryptionconfig.EncryptionConfiguration
}

// Start reads the configuration as a starting kube-apiserver does. What it runs ends with the test.
func Start(t testing.TB, config string) *APIServer {
	t.Helper()
	if err := allowKMSv1(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "encryptionconfig.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	loaded, err := encryptionconfig.LoadEncryptionConfig(ctx, file, false, "interop")
	if err != nil {
		t.Fatal(err)
	}
	return &APIServer{loaded}
}

// Secrets gives what seals and opens secrets.
func (a *APIServer) Secrets() value.Transformer {
	return encryptionconfig.StaticTransformers(a.config.Transformers).
		TransformerForResource(schema.GroupResource{Resource: "secrets"})
}

// Checks gives the names of the health checks.
func (a *APIServer) Checks() (names []string) {
	for _, check := range a.config.HealthChecks {
		names = append(names, check.Name())
	}
	return names
}

// Health runs the health checks as a request of /readyz does.
func (a *APIServer) Health() error {
	for _, check := range a.config.HealthChecks {
		request, err := http.NewRequest(http.MethodGet, "/readyz/"+check.Name(), nil)
		if err != nil {
			return err
		}
		if err := check.Check(request); err != nil {
			return fmt.Errorf("%s: %w", check.Name(), err)
		}
	}
	return nil
}

// Plaintext is a secret as kube-apiserver hands it to the transformer.
var Plaintext = []byte("k8s\x00 a secret of the operator's")

// Path is where the secret is stored, which seals it to that place.
var Path = value.DefaultContext("/registry/secrets/default/first")

// Write seals the secret.
func (a *APIServer) Write() ([]byte, error) {
	return a.Secrets().TransformToStorage(context.Background(), Plaintext, Path)
}

// Read opens what Write gave, and says whether kube-apiserver would write it anew.
func (a *APIServer) Read(stored []byte) (stale bool, err error) {
	plaintext, stale, err := a.Secrets().TransformFromStorage(context.Background(), stored, Path)
	if err == nil && !bytes.Equal(plaintext, Plaintext) {
		err = fmt.Errorf("read %q", plaintext)
	}
	return stale, err
}

// MustWrite is Write, and fails the test.
func (a *APIServer) MustWrite(t testing.TB) []byte {
	t.Helper()
	stored, err := a.Write()
	if err != nil {
		t.Fatal(err)
	}
	return stored
}
