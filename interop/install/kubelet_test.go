package install

import (
	"cmp"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"azure-kms-provider/interop/harness"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

const manifests = "/etc/kubernetes/manifests"

// kubelet stands in for the node's: it reads the static pods as strictly as kube-apiserver does, and starts the program
// of each in a root that has nothing but that program, what it is linked with, and the pod's mounts.
type kubelet struct {
	decoder runtime.Decoder
	images  func(t *testing.T, image string) string
	running map[string]*staticPod
}

// staticPod is one file and what runs of it.
type staticPod struct {
	text    string
	pod     *corev1.Pod
	program *harness.Program
}

// newKubelet begins without pods; images gives the program of an image.
func newKubelet(t *testing.T, images func(*testing.T, string) string) *kubelet {
	t.Helper()
	k := &kubelet{decoder: strictDecoder(t), images: images, running: map[string]*staticPod{}}
	k.serveLogs(t)
	return k
}

// strictDecoder knows the core types, and refuses a field that they do not have.
func strictDecoder(t *testing.T) runtime.Decoder {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}

// sync makes what runs agree with the folder, and gives the pods that it started.
func (k *kubelet) sync(t *testing.T) (started []*staticPod) {
	t.Helper()
	files, err := filepath.Glob(manifests + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text := readFile(t, file)
		old := k.running[file]
		if old != nil && old.text == text {
			continue
		}
		if old != nil {
			old.program.Terminate(t)
		}
		k.running[file] = k.start(t, text)
		started = append(started, k.running[file])
	}
	return started
}

func (k *kubelet) start(t *testing.T, text string) *staticPod {
	t.Helper()
	object, _, err := k.decoder.Decode([]byte(text), nil, nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	pod, ok := object.(*corev1.Pod)
	if !ok || len(pod.Spec.Containers) != 1 || !pod.Spec.HostNetwork {
		t.Fatalf("not a pod with one container in the network of the node:\n%s", text)
	}
	container := pod.Spec.Containers[0]
	root := makeRoot(t, pod, k.images(t, container.Image))
	// an image with an entrypoint has args, and one without a command
	args := slices.Concat(container.Command, container.Args)
	if len(container.Command) > 0 {
		args = args[1:]
	}
	cmd := exec.Command(programInRoot, args...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	return &staticPod{text, pod, harness.StartProgram(t, cmd)}
}

// serveLogs answers kube-apiserver's requests for the logs of containers.
func (k *kubelet) serveLogs(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:10250")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, running := range k.running {
			if strings.HasPrefix(r.URL.Path, "/containerLogs/kube-system/"+mirrorName(running.pod)+"/") {
				_, _ = w.Write([]byte(running.program.Log()))
				return
			}
		}
		http.NotFound(w, r)
	}))
	_ = server.Listener.Close()
	server.Listener = listener
	server.StartTLS()
	t.Cleanup(server.Close)
}

// mirrorName is the pod's name in the API.
func mirrorName(pod *corev1.Pod) string {
	return pod.Name + "-" + node
}

const programInRoot = "/program"

// makeRoot makes the root of a container. It is never removed: it goes with the namespace, and so no removal can follow
// its mounts.
func makeRoot(t *testing.T, pod *corev1.Pod, program string) string {
	t.Helper()
	root, err := os.MkdirTemp("/mnt", pod.Name)
	if err != nil {
		t.Fatal(err)
	}
	bind(t, program, root+programInRoot, true)
	for _, path := range []string{"/lib", "/lib64", "/usr/lib", "/dev/null", "/dev/urandom", "/etc/hosts"} {
		bind(t, path, root+path, !strings.HasPrefix(path, "/dev/"))
	}
	sources := map[string]string{}
	for _, volume := range pod.Spec.Volumes {
		if volume.HostPath == nil {
			t.Fatalf("volume %s is not a hostPath", volume.Name)
		}
		sources[volume.Name] = volume.HostPath.Path
	}
	mounts := slices.SortedFunc(slices.Values(pod.Spec.Containers[0].VolumeMounts), func(a, b corev1.VolumeMount) int {
		return cmp.Compare(a.MountPath, b.MountPath)
	})
	for _, mount := range mounts {
		bind(t, sources[mount.Name], root+mount.MountPath, mount.ReadOnly)
	}
	return root
}

// bind mounts a file or folder elsewhere too.
func bind(t *testing.T, source, target string, readOnly bool) {
	t.Helper()
	info, err := os.Stat(source)
	if err != nil {
		t.Fatal(err)
	}
	if info.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
		err = os.WriteFile(target, nil, 0o644)
	}
	if err == nil {
		err = syscall.Mount(source, target, "", syscall.MS_BIND, "")
	}
	if err == nil && readOnly {
		err = syscall.Mount("", target, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
	}
	if err != nil {
		t.Fatalf("%s at %s: %v", source, target, err)
	}
}
