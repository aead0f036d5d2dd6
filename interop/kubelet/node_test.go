package kubelet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"azure-kms-provider/interop/harness"
)

const (
	kubernetes = "/etc/kubernetes"
	manifest   = kubernetes + "/manifests/azure-kms-provider.yaml"
	socket     = "/opt/azurekms.socket"
	patience   = 2 * time.Minute
)

// node is a control plane node whose kubelet has no pod yet.
type node struct {
	emulator *harness.Emulator
	kubelet  *harness.Program
}

func startNode(t *testing.T) *node {
	t.Helper()
	n := &node{emulator: harness.StartEmulator(t, "--listen=127.0.0.1:443")}
	writeFile(t, kubernetes+"/azure.json", readFile(t, filepath.Join(n.emulator.Dir(), "azure.json")))
	roots := "/etc/ssl/certs/ca-certificates.crt"
	writeFile(t, roots, readFile(t, roots)+readFile(t, filepath.Join(n.emulator.Dir(), "ca.pem")))
	harness.StartProgram(t, exec.Command("etcd", "--data-dir=/mnt/etcd", "--unsafe-no-fsync", "--log-level=error"))
	harness.StartProgram(t, exec.Command("containerd", "--config=node/containerd.toml", "--log-level=warn"))
	harness.Eventually(t, patience, "containerd answers", func() bool {
		return exec.Command("ctr", "version").Run() == nil
	})
	importImages(t, os.Getenv("IMAGE_ARCHIVE"))
	n.kubelet = harness.StartProgram(t, exec.Command("kubelet", "--config=node/kubelet.yaml", "--hostname-override=node"))
	t.Cleanup(func() { showLogs(t) })
	return n
}

// showLogs shows what all containers printed that kubelet has not removed, if the test failed.
func showLogs(t *testing.T) {
	if !t.Failed() {
		return
	}
	logs, err := filepath.Glob("/var/log/pods/*/*/*.log")
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range logs {
		t.Logf("--- %s\n%s", log, readFile(t, log))
	}
}

// manifests is what the daemon prints for its flags on this node.
func (n *node) manifests(t *testing.T, args ...string) string {
	t.Helper()
	info := n.emulator.Info
	vault, _, _ := strings.Cut(info.VaultHost, ".")
	args = append([]string{"manifests", "--keyvault-name=" + vault, "--key-name=" + info.KeyName,
		"--key-version=" + info.KeyVersions[0]}, args...)
	output, err := exec.Command(harness.Binary(t, "AZURE_KMS_PROVIDER", "azure-kms-provider"), args...).Output()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return string(output)
}

// startAPIServer has kubelet start kube-apiserver. KMS v2 seals secrets. KMS v1 seals config maps: it needs the daemon for
// each write, and so shows when that is away.
func (n *node) startAPIServer(t *testing.T) {
	t.Helper()
	v1 := n.manifests(t, "--only=encryption", "--kms=v1")
	_, v1, _ = strings.Cut(v1, "resources:\n")
	v1 = strings.NewReplacer("- secrets", "- configmaps", "azurekmsprovider", "kms-v1").Replace(v1)
	writeFile(t, kubernetes+"/encryptionconfig.yaml", n.manifests(t, "--only=encryption", "--kms=v2")+v1)
	writeFile(t, kubernetes+"/tokens.csv", token+",admin,admin,system:masters\n")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, kubernetes+"/sa.key", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})))
	writeFile(t, kubernetes+"/manifests/kube-apiserver.yaml", readFile(t, "node/kube-apiserver.yaml"))
}

// pod is what a test wants to know of a pod, as kubelet shows it.
type pod struct {
	Metadata struct{ Name, UID string }
	Spec     struct{ Containers []struct{ Image string } }
	Status   struct {
		Phase             string
		ContainerStatuses []struct {
			Ready, Started bool
			RestartCount   int
			LastState      struct {
				Terminated *struct {
					ExitCode int
					Reason   string
				}
			}
		}
	}
}

// pod gives the pod of that name, or nil.
func (n *node) pod(t *testing.T, name string) *pod {
	t.Helper()
	if !n.kubelet.Running() {
		t.Fatal("kubelet has ended")
	}
	response, err := http.Get("http://127.0.0.1:10255/pods")
	if err != nil {
		return nil // it does not listen yet
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Items []*pod }
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, pod := range list.Items {
		if pod.Metadata.Name == name+"-node" {
			return pod
		}
	}
	return nil
}

// waitReady waits until a pod's container is ready after that many restarts.
func (n *node) waitReady(t *testing.T, name string, restarts int) *pod {
	t.Helper()
	var found *pod
	harness.Eventually(t, patience, name+" is ready", func() bool {
		found = n.pod(t, name)
		if found == nil || found.Status.Phase != "Running" || len(found.Status.ContainerStatuses) != 1 {
			return false
		}
		status := found.Status.ContainerStatuses[0]
		return status.Ready && status.Started && status.RestartCount == restarts
	})
	return found
}

// daemonPID gives the process of the daemon in its container, or 0.
func daemonPID(t *testing.T) int {
	t.Helper()
	output, _ := exec.Command("pgrep", "-x", "azure-kms-provi").Output() // the kernel keeps 15 letters
	pid, err := strconv.Atoi(strings.TrimSpace(string(output)))
	if err != nil && len(output) > 0 {
		t.Fatalf("pgrep printed %q", output)
	}
	return pid
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
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
