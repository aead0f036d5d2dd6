package apiserver

import (
	"encoding/base64"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"azure-kms-provider/interop/harness"
	"azure-kms-provider/interop/kubernetes/encryption"
)

// kubeconfig gives a client's configuration.
func kubeconfig(server, token, ca string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: interop
contexts: [{name: interop, context: {cluster: interop, user: interop, namespace: default}}]
clusters: [{name: interop, cluster: {server: %q, tls-server-name: "apiserver-loopback-client", certificate-authority-data: %q}}]
users: [{name: interop, user: {token: %q}}]
`, server, base64.StdEncoding.EncodeToString([]byte(ca)), token)
}

// It uses raw paths: this API server leaves the list of API groups to a kube-apiserver above it, and without
// that list kubectl cannot turn a kind into a path.
func TestKubectlCreatesReadsAndReplacesSealedObjects(t *testing.T) {
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		t.Fatalf("%v: interop/install/programs builds it", err)
	}
	daemon := harness.StartDaemon(t, harness.StartEmulator(t))
	c := startCluster(t, configFor(t, encryption.V2, daemon))
	dir := t.TempDir()
	config, manifest := filepath.Join(dir, "kubeconfig"), filepath.Join(dir, "vault.json")
	writeFile(t, config, kubeconfig(c.rest.Host, c.rest.BearerToken, string(c.rest.CAData)))
	run := func(args ...string) string {
		t.Helper()
		output, err := exec.Command(kubectl, append([]string{"--kubeconfig", config}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl %v: %v\n%s", args, err, output)
		}
		return string(output)
	}
	const all = "/apis/interop.test/v1/namespaces/default/vaults"
	send := func(verb, path, object, word string) {
		t.Helper()
		writeFile(t, manifest, object)
		run(verb, "--raw", path, "-f", manifest)
		c.wantSealed(t, "first", word, encryption.V2.Prefix(encryption.Provider))
	}
	object, err := vault("first", "swordfish").MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	send("create", all, string(object), "swordfish")
	read := run("get", "--raw", all+"/first")
	send("replace", all+"/first", strings.Replace(read, "swordfish", "marlin", 1), "marlin")
	if list := run("get", "--raw", all); !strings.Contains(list, "marlin") || strings.Contains(list, "swordfish") {
		t.Errorf("kubectl get says %s", list)
	}
}
