// Package configuration holds no code: its tests are the operator's view, and run on every Kubernetes version of
// the matrix.
package configuration

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"

	"azure-kms-provider/interop/harness"
	"azure-kms-provider/interop/kubernetes/encryption"
	"k8s.io/apiserver/pkg/storage/value"
)

// forBoth runs a test with both APIs, each with a daemon and an API server that has the operator's configuration.
func forBoth(t *testing.T, test func(t *testing.T, api encryption.API, config string, server *encryption.APIServer)) {
	for _, api := range encryption.Both {
		t.Run(api.Name, func(t *testing.T) {
			daemon := harness.StartDaemon(t, harness.StartEmulator(t))
			config := encryption.Config(t, api, daemon.Socket)
			test(t, api, config, encryption.Start(t, config))
		})
	}
}

func TestTheOperatorsConfigurationIsHealthy(t *testing.T) {
	names := map[string]string{"v1": "kms-provider-0", "v2": "kms-providers"}
	forBoth(t, func(t *testing.T, api encryption.API, _ string, server *encryption.APIServer) {
		if err := server.Health(); err != nil {
			t.Error(err)
		}
		if got := server.Checks(); !slices.Equal(got, []string{names[api.Name]}) {
			t.Errorf("health checks %v", got)
		}
	})
}

func TestASecretIsStoredSealedUnderItsPrefixAndReadBack(t *testing.T) {
	forBoth(t, func(t *testing.T, api encryption.API, _ string, server *encryption.APIServer) {
		stored := server.MustWrite(t)
		if !bytes.HasPrefix(stored, []byte(api.Prefix(encryption.Provider))) {
			t.Errorf("stored as %.60q", stored)
		}
		if bytes.Contains(stored, encryption.Plaintext) {
			t.Error("the plaintext is stored")
		}
		if stale, err := server.Read(stored); err != nil || stale {
			t.Errorf("stale %v, %v", stale, err)
		}
	})
}

func TestAnotherAPIServerWithAColdCacheReadsTheSecret(t *testing.T) {
	forBoth(t, func(t *testing.T, _ encryption.API, config string, server *encryption.APIServer) {
		stored := server.MustWrite(t)
		if stale, err := encryption.Start(t, config).Read(stored); err != nil || stale {
			t.Errorf("stale %v, %v", stale, err)
		}
	})
}

func TestASecretMovedToAnotherPathIsRefused(t *testing.T) {
	forBoth(t, func(t *testing.T, _ encryption.API, _ string, server *encryption.APIServer) {
		stored := server.MustWrite(t)
		other := value.DefaultContext("/registry/secrets/default/second")
		plaintext, _, err := server.Secrets().TransformFromStorage(context.Background(), stored, other)
		if err == nil {
			t.Errorf("read %q", plaintext)
		}
	})
}

func Test200ConcurrentWritersAreServed(t *testing.T) {
	forBoth(t, func(t *testing.T, _ encryption.API, config string, server *encryption.APIServer) {
		cold := encryption.Start(t, config)
		var group sync.WaitGroup
		for range 200 {
			group.Go(func() {
				stored, err := server.Write()
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := cold.Read(stored); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	})
}
