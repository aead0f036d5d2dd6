package kubelet

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The image of the manifest, and the one that it is upgraded to: the same under another name.
const (
	image    = "docker.io/library/azure-kms-provider:v0.1.0"
	upgraded = "docker.io/library/azure-kms-provider:v0.1.1"
)

// importImages gives the runtime all that kubelet will ask it for: nothing can be pulled.
func importImages(t *testing.T, archive string) {
	t.Helper()
	ctr(t, nil, "images", "import", archive)
	tag, _, _ := strings.Cut(ctr(t, nil, "images", "ls", "-q"), "\n")
	for _, name := range []string{image, upgraded} {
		ctr(t, nil, "images", "tag", "--force", tag, name)
	}
	ctr(t, imageOf(t, "pause", "localhost/pause:interop"), "images", "import", "-")
	ctr(t, imageOf(t, "kube-apiserver", "registry.k8s.io/kube-apiserver:interop"), "images", "import", "-")
}

func ctr(t *testing.T, stdin []byte, args ...string) string {
	t.Helper()
	cmd := exec.Command("ctr", append([]string{"--namespace=k8s.io"}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	var said bytes.Buffer // warnings too
	cmd.Stderr = &said
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("ctr %v: %v\n%s", args, err, &said)
	}
	return string(output)
}

// imageOf makes an image of one static program: an archive as `docker save` writes it.
func imageOf(t *testing.T, program, name string) []byte {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	layer := archiveOf(t, "usr/bin/"+filepath.Base(path), []byte(readFile(t, path)))
	sum := sha256.Sum256(layer)
	config := toJSON(t, map[string]any{
		"os": "linux", "architecture": runtime.GOARCH,
		"config": map[string]any{"Entrypoint": []string{"/usr/bin/" + program}, "Env": []string{"PATH=/usr/bin"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(sum[:])}},
	})
	manifest := toJSON(t, []any{map[string]any{
		"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"},
	}})
	return archiveOf(t, "config.json", config, "layer.tar", layer, "manifest.json", manifest)
}

// archiveOf makes a tar of names and contents in turn.
func archiveOf(t *testing.T, files ...any) []byte {
	t.Helper()
	var text bytes.Buffer
	archive := tar.NewWriter(&text)
	for i := 0; i < len(files); i += 2 {
		content := files[i+1].([]byte)
		header := &tar.Header{Name: files[i].(string), Mode: 0o755, Size: int64(len(content))}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

func toJSON(t *testing.T, object any) []byte {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
