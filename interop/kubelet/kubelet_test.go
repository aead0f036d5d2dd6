package kubelet

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"azure-kms-provider/interop/harness"
)

const daemon = "azure-kms-provider"

// The steps build on each other: after one that fails the others say nothing.
func TestTheStaticPodUnderARealKubelet(t *testing.T) {
	n := startNode(t)
	for _, step := range []struct {
		claim string
		run   func(*testing.T, *node)
	}{
		{"it starts, and is confined as the manifest says", starts},
		{"a kube-apiserver in another pod seals with it", seals},
		{"after kill -9 kubelet starts it again", isStartedAgainWhenKilled},
		{"another image takes its place", isUpgraded},
		{"a frozen one fails its probe, and is killed and started again", isKilledWhenFrozen},
		{"without its file it stops", isRemoved},
	} {
		if !t.Run(step.claim, func(t *testing.T) { step.run(t, n) }) {
			return
		}
	}
}

func starts(t *testing.T, n *node) {
	start := time.Now()
	apply(t, n.manifests(t, "--only=pod"))
	n.waitReady(t, daemon, 0)
	t.Logf("ready after %s", harness.Since(start))
	status := readFile(t, fmt.Sprintf("/proc/%d/status", daemonPID(t)))
	for _, line := range []string{"Seccomp:\t2", "NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"} {
		if !strings.Contains(status, "\n"+line+"\n") {
			t.Errorf("not %q in\n%s", line, status)
		}
	}
	for line := range strings.Lines(readFile(t, fmt.Sprintf("/proc/%d/mountinfo", daemonPID(t)))) {
		if fields := strings.Fields(line); fields[4] == "/" && !slices.Contains(strings.Split(fields[5], ","), "ro") {
			t.Errorf("its root is writable: %s", line)
		}
	}
}

func seals(t *testing.T, n *node) {
	n.startAPIServer(t)
	n.waitReady(t, "kube-apiserver", 0)
	harness.Eventually(t, patience, "kube-apiserver's checks pass, and so those of both APIs of the daemon", func() bool {
		text, err := call("GET", "/readyz?verbose", "")
		return err == nil && strings.Contains(text, "[+]kms-provider-0 ok") && strings.Contains(text, "[+]kms-provider-1 ok")
	})
	wantSealed(t, "secrets", "sealed", "k8s:enc:kms:v2:azurekmsprovider:")
	wantSealed(t, "configmaps", "sealed", "k8s:enc:kms:v1:kms-v1:")
}

func isStartedAgainWhenKilled(t *testing.T, n *node) {
	w, start := startWriters("killed"), time.Now()
	signal(t, syscall.SIGKILL)
	last := n.waitReady(t, daemon, 1).Status.ContainerStatuses[0].LastState.Terminated
	t.Logf("ready again after %s", harness.Since(start))
	if last == nil || last.ExitCode != 137 {
		t.Errorf("it ended with %+v", last)
	}
	w.end(t)
}

func isUpgraded(t *testing.T, n *node) {
	old := n.waitReady(t, daemon, 1)
	log := containerLog(t, old, 1)
	w, start, replaced := startWriters("upgraded"), time.Now(), daemonPID(t)
	apply(t, n.manifests(t, "--only=pod", "--image="+upgraded, "--reload-interval=5s"))
	harness.Eventually(t, patience, "the old one ends", func() bool { return daemonPID(t) != replaced })
	t.Logf("the old one ended after %s", harness.Since(start))
	harness.Eventually(t, patience, "kubelet shows the new pod", func() bool {
		shown := n.pod(t, daemon)
		return shown != nil && shown.Metadata.UID != old.Metadata.UID
	})
	if got := n.waitReady(t, daemon, 0).Spec.Containers[0].Image; got != upgraded {
		t.Errorf("the image is %s", got)
	}
	t.Logf("ready again after %s", harness.Since(start))
	wantDrained(t, log)
	w.end(t)
}

func isKilledWhenFrozen(t *testing.T, n *node) {
	w, start := startWriters("frozen"), time.Now()
	frozen := daemonPID(t)
	signal(t, syscall.SIGSTOP)
	harness.Eventually(t, patience, "it is killed", func() bool { return daemonPID(t) != frozen })
	t.Logf("killed after %s", harness.Since(start))
	n.waitReady(t, daemon, 1)
	t.Logf("ready again after %s", harness.Since(start))
	w.end(t)
}

func isRemoved(t *testing.T, n *node) {
	log, start := containerLog(t, n.waitReady(t, daemon, 1), 1), time.Now()
	if err := os.Remove(manifest); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, patience, "the pod is gone", func() bool { return n.pod(t, daemon) == nil && daemonPID(t) == 0 })
	t.Logf("gone after %s", harness.Since(start))
	wantDrained(t, log)
	if _, err := os.Lstat(socket); !os.IsNotExist(err) {
		t.Errorf("its socket is left: %v", err)
	}
}

// apply puts the daemon's pod into kubelet's folder, whole.
func apply(t *testing.T, pod string) {
	t.Helper()
	written := filepath.Join(kubernetes, "written")
	writeFile(t, written, pod)
	if err := os.Rename(written, manifest); err != nil {
		t.Fatal(err)
	}
}

func signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	pid := daemonPID(t)
	if pid == 0 { // kill(2) takes that for the group of the test
		t.Fatalf("no daemon runs that could get %s", signal)
	}
	if err := syscall.Kill(pid, signal); err != nil {
		t.Fatal(err)
	}
}

// containerLog opens the log of a container that was restarted so often: it can be read when kubelet has removed it.
func containerLog(t *testing.T, pod *pod, restarts int) *os.File {
	t.Helper()
	path := fmt.Sprintf("/var/log/pods/kube-system_%s_%s/%s/%d.log", pod.Metadata.Name, pod.Metadata.UID, daemon, restarts)
	log, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

// wantDrained wants a log to end as after SIGTERM.
func wantDrained(t *testing.T, log *os.File) {
	t.Helper()
	text, err := io.ReadAll(log)
	if err != nil || !strings.Contains(string(text), `"Draining"`) || !strings.Contains(string(text), `"Stopped"`) {
		t.Errorf("no drain in the log, %v:\n%s", err, text)
	}
}
