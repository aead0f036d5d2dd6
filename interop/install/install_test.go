package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"azure-kms-provider/interop/harness"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func TestThePageLeadsToASecretThatIsEncryptedInEtcd(t *testing.T) {
	for _, reader := range readers {
		t.Run(reader.kms, func(t *testing.T) { walk(t, reader) })
	}
}

// walk does what the page says, on a node that has a secret already.
func walk(t *testing.T, reader reader) {
	w := start(t)
	kubectl(t, "", "create", "secret", "generic", "older", "--from-literal=password=not-in-etcd")
	if !strings.Contains(stored(t, "older"), "not-in-etcd") {
		t.Fatal("a secret is encrypted before the page begins")
	}
	manifest := filepath.Join(harness.Repository(), "manifests", "azure-kms-provider.yaml")
	kubectl(t, "", "create", "--dry-run=client", "--validate=strict", "-f", manifest)
	printed := ""
	for _, b := range page(t) {
		switch b.language {
		case "sh":
			if reader.needs(b) {
				printed = w.shell.run(t, b.String(), reader.choose(b))
				w.sealed(t, reader, b, printed)
			}
		case "text":
			shown, _, _ := strings.Cut(b.text, "…")
			if reader.kms == "v2" && !strings.Contains(printed, shown) {
				t.Errorf("%v is not what was printed", b)
			}
		case "yaml":
			w.edit(t, b, reader)
		case "json": // azure.json, which is there
		default:
			t.Fatalf("%v: what is a reader to do with %q?", b, b.language)
		}
		w.settle(t)
	}
	w.wantSealed(t, reader, "older")
	if w.proofs != 1 {
		t.Errorf("the page shows %d proofs", w.proofs)
	}
	w.rollBack(t)
}

// rollBack is the page's way back to no encryption.
func (w *walker) rollBack(t *testing.T) {
	t.Helper()
	const configuration, identity, kms = "/etc/kubernetes/encryptionconfig.yaml", "      - identity: {}", "      - kms:"
	text := without(readFile(t, configuration), identity)
	writeFile(t, configuration, strings.Replace(text, kms, identity+"\n"+kms, 1))
	apiserver := manifests + "/kube-apiserver.yaml"
	writeFile(t, apiserver, readFile(t, apiserver)+"# restart\n")
	w.settle(t)
	w.shell.run(t, "rollback", "kubectl get secrets --all-namespaces -o json | kubectl replace -f -\n")
	if value := stored(t, "older"); strings.Contains(value, "k8s:enc:") || !strings.Contains(value, "not-in-etcd") {
		t.Errorf("older is stored as %.100q", value)
	}
}

// walker is the node, and the reader at it.
type walker struct {
	kubelet *kubelet
	shell   *shell
	proofs  int
}

func start(t *testing.T) *walker {
	t.Helper()
	emulator := harness.StartEmulator(t, "--listen=127.0.0.1:443")
	emulator.SetPermissions(t) // none, until the reader gives them
	writeFile(t, "/etc/kubernetes/azure.json", readFile(t, filepath.Join(emulator.Dir(), "azure.json")))
	roots := "/etc/ssl/certs/ca-certificates.crt"
	writeFile(t, roots, readFile(t, roots)+readFile(t, filepath.Join(emulator.Dir(), "ca.pem")))
	images := filepath.Join(t.TempDir(), "images")
	writeFile(t, images, "")
	daemon := harness.Binary(t, "AZURE_KMS_PROVIDER", "azure-kms-provider")
	k := newKubelet(t, func(t *testing.T, image string) string {
		if image == "registry.k8s.io/kube-apiserver" {
			return which(t, "kube-apiserver")
		}
		if !strings.Contains(readFile(t, images), image+"\n") {
			t.Fatalf("no such image: %s", image)
		}
		return daemon
	})
	startCluster(t, k)
	return &walker{kubelet: k, shell: openShell(t, os.Getenv("CLONE"),
		"EMULATOR="+emulator.Dir(), "IMAGES="+images, "AZURE_KMS_PROVIDER="+daemon, "KUBECONFIG="+admin)}
}

// which finds a program.
func which(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// settle waits until what the reader did has come to life.
func (w *walker) settle(t *testing.T) {
	t.Helper()
	for _, started := range w.kubelet.sync(t) {
		if started.pod.Name == "kube-apiserver" {
			waitForAPI(t, w.kubelet)
			continue
		}
		harness.Eventually(t, patience, "the daemon is healthy", func() bool {
			if !started.program.Running() {
				t.Fatal("the daemon has ended")
			}
			return strings.Contains(started.program.Log(), `"Healthy"`)
		})
		mirror(t, started.pod)
	}
}

// edit adds the lines of the page to kube-apiserver's manifest.
func (w *walker) edit(t *testing.T, b block, reader reader) {
	t.Helper()
	if reader.kms == "v2" {
		b.text = without(b.text, "# KMS v1 only")
	}
	var page, present corev1.Pod
	path := manifests + "/kube-apiserver.yaml"
	for text, pod := range map[string]*corev1.Pod{b.text: &page, readFile(t, path): &present} {
		if err := yaml.UnmarshalStrict([]byte(text), pod); err != nil {
			t.Fatalf("%v: %v", b, err)
		}
	}
	from, to := page.Spec.Containers[0], &present.Spec.Containers[0]
	to.Command = append(to.Command, from.Command[1:]...)
	to.VolumeMounts = append(to.VolumeMounts, from.VolumeMounts...)
	present.Spec.Volumes = append(present.Spec.Volumes, page.Spec.Volumes...)
	text, err := yaml.Marshal(present)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, string(text))
}

// without leaves out the one line that contains a part.
func without(text, part string) (result string) {
	for line := range strings.Lines(text) {
		if !strings.Contains(line, part) {
			result += line
		}
	}
	return result
}

// sealed looks at etcd when the page has just shown it.
func (w *walker) sealed(t *testing.T, reader reader, b block, printed string) {
	t.Helper()
	if !strings.Contains(b.text, "etcdctl") {
		return
	}
	w.proofs++
	w.wantSealed(t, reader, "kms-test")
	if dumped := columns(printed); !strings.Contains(dumped, "/registry/secrets/default/kms-test.k8s:enc:kms:"+reader.kms+":azurekmsprovider:") {
		t.Errorf("the reader sees %q", dumped)
	}
}

// wantSealed wants a secret to be encrypted in etcd.
func (w *walker) wantSealed(t *testing.T, reader reader, name string) {
	t.Helper()
	value := stored(t, name)
	if !strings.HasPrefix(value, "k8s:enc:kms:"+reader.kms+":azurekmsprovider:") || strings.Contains(value, "not-in-etcd") {
		t.Errorf("%s is stored as %.100q", name, value)
	}
}

// columns gives the text that hexdump -C shows on the right.
func columns(dump string) (text string) {
	for line := range strings.Lines(dump) {
		if parts := strings.SplitN(line, "|", 2); len(parts) == 2 {
			text += strings.TrimSuffix(strings.TrimSpace(parts[1]), "|")
		}
	}
	return text
}
