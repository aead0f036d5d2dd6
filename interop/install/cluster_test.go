package install

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azure-kms-provider/interop/harness"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"
)

const (
	node     = "node"
	pki      = "/etc/kubernetes/pki"
	admin    = "/etc/kubernetes/admin.conf"
	patience = 2 * time.Minute
)

// startCluster starts etcd and, as a static pod, a kube-apiserver that encrypts nothing yet.
func startCluster(t *testing.T, k *kubelet) {
	t.Helper()
	certify(t, pki+"/apiserver")
	certify(t, pki+"/etcd/server")
	writeFile(t, pki+"/tokens.csv", "admin-token,admin,admin,system:masters\n")
	writeFile(t, admin, `apiVersion: v1
kind: Config
current-context: admin
contexts: [{name: admin, context: {cluster: node, user: admin}}]
clusters: [{name: node, cluster: {server: "https://127.0.0.1:6443", certificate-authority: `+pki+`/ca.crt}}]
users: [{name: admin, user: {token: admin-token}}]
`)
	harness.StartProgram(t, exec.Command("etcd", "--data-dir=/mnt/etcd", "--unsafe-no-fsync", "--log-level=error",
		"--listen-client-urls=https://127.0.0.1:2379", "--advertise-client-urls=https://127.0.0.1:2379",
		"--cert-file="+pki+"/etcd/server.crt", "--key-file="+pki+"/etcd/server.key"))
	writeFile(t, manifests+"/kube-apiserver.yaml", readFile(t, "node/kube-apiserver.yaml"))
	k.sync(t)
	waitForAPI(t, k)
	kubectl(t, toJSON(t, corev1.Node{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{Name: node},
		Status: corev1.NodeStatus{
			Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: 10250}},
		},
	}), "create", "-f", "-")
}

// certify makes NAME.crt, NAME.key and, beside them, ca.crt.
func certify(t *testing.T, name string) {
	t.Helper()
	chain, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, name+".crt", string(chain))
	writeFile(t, name+".key", string(key))
	writeFile(t, filepath.Join(filepath.Dir(name), "ca.crt"), string(chain))
}

// waitForAPI waits until kube-apiserver is ready, and fails when its program ends before.
func waitForAPI(t *testing.T, k *kubelet) {
	t.Helper()
	harness.Eventually(t, patience, "kube-apiserver is ready", func() bool {
		if !k.running[manifests+"/kube-apiserver.yaml"].program.Running() {
			t.Fatal("kube-apiserver has ended")
		}
		return kubectlCommand("get", "--raw", "/readyz").Run() == nil
	})
}

// mirror shows a static pod in the API, as a kubelet does. kube-apiserver judges it there.
func mirror(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	shown := pod.DeepCopy()
	shown.Name, shown.Spec.NodeName = mirrorName(pod), node
	shown.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "of a file"}
	kubectl(t, toJSON(t, shown), "replace", "--force", "--grace-period=0", "-f", "-")
}

func kubectlCommand(args ...string) *exec.Cmd {
	return exec.Command("kubectl", append([]string{"--kubeconfig", admin}, args...)...)
}

// kubectl runs it and gives what it prints.
func kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := kubectlCommand(args...)
	cmd.Stdin = strings.NewReader(stdin)
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %v: %v\n%s", args, err, output)
	}
	return string(output)
}

// stored gives a secret's bytes in etcd, which etcdctl hands out.
func stored(t *testing.T, name string) string {
	t.Helper()
	output, err := exec.Command("etcdctl", "--cacert="+pki+"/etcd/ca.crt", "get", "--print-value-only",
		"/registry/secrets/default/"+name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(output)
}

func toJSON(t *testing.T, object any) string {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", path, err))
	}
}
