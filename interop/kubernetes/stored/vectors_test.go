// Package stored holds no code: its tests carry what is in etcd between kube-apiserver with our daemon and
// kube-apiserver with Azure's Go plugin. The second pair is a model in Python, in interop/python.
package stored

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"azure-kms-provider/interop/harness"
	"azure-kms-provider/interop/kubernetes/encryption"
	"k8s.io/apiserver/pkg/storage/value"
)

// object is what is in etcd at a path, and what is in it.
type object struct {
	// Kind says which form of which API it is.
	Kind string
	// Form says whether Azure's plugin wrote it, or OpenShift's fork of that.
	Form      string
	Path      string
	Plaintext []byte
	Stored    []byte
}

// kinds are all forms that kube-apiserver reads, with what it makes of them.
var kinds = map[string]struct {
	api encryption.API
	// stale objects are written anew at the next occasion.
	stale bool
	// movable objects open at every path: AES-CBC does not protect the place.
	movable bool
}{
	"v1-cbc":  {api: encryption.V1, stale: true, movable: true},
	"v1-gcm":  {api: encryption.V1},
	"v2-key":  {api: encryption.V2, stale: true},
	"v2-seed": {api: encryption.V2},
}

// vectors reads what is stored under the key of that size.
func vectors(t *testing.T, bits int) []object {
	t.Helper()
	var file struct {
		Provider string
		Objects  []object
	}
	harness.LoadVectors(t, fmt.Sprintf("stored-%d.json", bits), &file)
	if file.Provider != encryption.Provider || len(file.Objects) < len(kinds) {
		t.Fatalf("%d objects of provider %q", len(file.Objects), file.Provider)
	}
	return file.Objects
}

// servers are kube-apiservers by API.
type servers map[string]*encryption.APIServer

// start gives a kube-apiserver for each API, with the operator's configuration and one daemon.
func start(t *testing.T, emulator *harness.Emulator, key harness.VectorKey) servers {
	t.Helper()
	daemon := harness.StartDaemon(t, emulator, key.Flags()...)
	started := servers{}
	for _, api := range encryption.Both {
		started[api.Name] = encryption.Start(t, encryption.Config(t, api, daemon.Socket))
	}
	return started
}

func (s servers) read(stored object, path string) (plaintext []byte, stale bool, err error) {
	secrets := s[kinds[stored.Kind].api.Name].Secrets()
	return secrets.TransformFromStorage(context.Background(), stored.Stored, value.DefaultContext(path))
}

// forEachKey runs a test with every key of the vectors.
func forEachKey(t *testing.T, test func(t *testing.T, emulator *harness.Emulator, key harness.VectorKey)) {
	for _, bits := range harness.KeySizes {
		t.Run(fmt.Sprintf("rsa%d", bits), func(t *testing.T) {
			t.Parallel()
			key := harness.LoadVectorKey(t, bits)
			test(t, harness.StartEmulatorWithKeys(t, key), key)
		})
	}
}

// forEachObject runs a test with every object, each in the hands of servers with its key.
func forEachObject(t *testing.T, test func(t *testing.T, servers servers, stored object)) {
	forEachKey(t, func(t *testing.T, emulator *harness.Emulator, key harness.VectorKey) {
		servers := start(t, emulator, key)
		for i, stored := range vectors(t, key.Bits) {
			t.Run(fmt.Sprintf("%s-%s-%d", stored.Kind, stored.Form, i), func(t *testing.T) {
				test(t, servers, stored)
			})
		}
	})
}

func TestTheVectorsHoldEveryKind(t *testing.T) {
	for _, bits := range harness.KeySizes {
		found := map[string]bool{}
		for _, stored := range vectors(t, bits) {
			if _, known := kinds[stored.Kind]; !known {
				t.Errorf("rsa%d: kind %q", bits, stored.Kind)
			}
			found[stored.Kind] = true
		}
		if len(found) != len(kinds) {
			t.Errorf("rsa%d: kinds %v", bits, found)
		}
	}
}

func TestObjectsOfTheGoPluginAreReadAndStaleOnlyInOldForms(t *testing.T) {
	forEachObject(t, func(t *testing.T, servers servers, stored object) {
		plaintext, stale, err := servers.read(stored, stored.Path)
		if err != nil || !bytes.Equal(plaintext, stored.Plaintext) {
			t.Fatalf("read %q, %v", plaintext, err)
		}
		if stale != kinds[stored.Kind].stale {
			t.Errorf("stale %v", stale)
		}
	})
}

func TestObjectsOfTheGoPluginAreRefusedAtAnotherPathExceptAESCBC(t *testing.T) {
	forEachObject(t, func(t *testing.T, servers servers, stored object) {
		plaintext, _, err := servers.read(stored, "/registry/secrets/default/other")
		if read := err == nil; read != kinds[stored.Kind].movable {
			t.Errorf("read %q, %v", plaintext, err)
		}
	})
}
