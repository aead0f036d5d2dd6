package stored

import (
	"bytes"
	"context"
	"testing"

	"azure-kms-provider/interop/harness"
	"azure-kms-provider/interop/kubernetes/encryption"
	"k8s.io/apiserver/pkg/storage/value"
)

// secrets are written by path. The second is of whole blocks, and larger than any buffer on the way.
var secrets = map[string][]byte{
	"/registry/secrets/default/first":  encryption.Plaintext,
	"/registry/secrets/default/second": bytes.Repeat([]byte("sixteen bytes..."), 10_000),
}

// placed is what etcd holds at a path.
type placed struct {
	Path   string `json:"path"`
	Stored []byte `json:"stored"`
}

// opened is what a kube-apiserver with the Go plugin makes of it.
type opened struct {
	Plaintext []byte
	Stale     bool
	// Refused says why it did not open.
	Refused string
}

// openWithTheGoPlugin hands objects to the model of kube-apiserver and the Go plugin.
func openWithTheGoPlugin(
	t *testing.T, emulator *harness.Emulator, key harness.VectorKey, objects ...placed,
) []opened {
	t.Helper()
	question := map[string]any{
		"emulator": emulator.Dir(), "key_name": key.Name, "key_version": key.Version, "objects": objects,
	}
	var answers []opened
	harness.AskPython(t, "kube_apiserver.open", question, &answers)
	if len(answers) != len(objects) {
		t.Fatalf("%d answers for %d objects", len(answers), len(objects))
	}
	return answers
}

// write seals a secret as kube-apiserver with our daemon does.
func (s servers) write(t *testing.T, api encryption.API, path string, plaintext []byte) placed {
	t.Helper()
	sealed, err := s[api.Name].Secrets().TransformToStorage(context.Background(), plaintext, value.DefaultContext(path))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(sealed, []byte(api.Prefix(encryption.Provider))) {
		t.Fatalf("stored as %.60q", sealed)
	}
	return placed{path, sealed}
}

func TestTheGoPluginReadsWhatKubeAPIServerStoredWithTheDaemon(t *testing.T) {
	forEachKey(t, func(t *testing.T, emulator *harness.Emulator, key harness.VectorKey) {
		servers := start(t, emulator, key)
		var objects []placed
		for _, api := range encryption.Both {
			for path, plaintext := range secrets {
				objects = append(objects, servers.write(t, api, path, plaintext))
			}
		}
		for i, answer := range openWithTheGoPlugin(t, emulator, key, objects...) {
			plaintext := secrets[objects[i].Path]
			if answer.Refused != "" || answer.Stale || !bytes.Equal(answer.Plaintext, plaintext) {
				t.Errorf("%.40q at %s: refused %q, stale %v, %d bytes, not the %d that were written", objects[i].Stored,
					objects[i].Path, answer.Refused, answer.Stale, len(answer.Plaintext), len(plaintext))
			}
		}
	})
}

func TestTheGoPluginRefusesAtAnotherPathWhatKubeAPIServerStoredWithTheDaemon(t *testing.T) {
	forEachKey(t, func(t *testing.T, emulator *harness.Emulator, key harness.VectorKey) {
		servers := start(t, emulator, key)
		var objects []placed
		for _, api := range encryption.Both {
			moved := servers.write(t, api, "/registry/secrets/default/first", encryption.Plaintext)
			moved.Path = "/registry/secrets/default/other"
			objects = append(objects, moved)
		}
		for i, answer := range openWithTheGoPlugin(t, emulator, key, objects...) {
			if answer.Refused == "" {
				t.Errorf("%.40q opened: %q", objects[i].Stored, answer.Plaintext)
			}
		}
	})
}
