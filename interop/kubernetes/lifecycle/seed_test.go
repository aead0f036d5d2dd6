package lifecycle

import (
	"bytes"
	"testing"

	"azure-kms-provider/interop/harness"
	"azure-kms-provider/interop/kubernetes/encryption"
	"google.golang.org/protobuf/proto"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	kmstypes "k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2"
)

// started starts a daemon whose health check makes no call to Key Vault after the first, and gives the operator's
// configuration.
func started(t *testing.T) (*harness.Emulator, *harness.Daemon, string) {
	emulator := harness.StartEmulator(t)
	daemon := harness.StartDaemon(t, emulator, "--health-interval=1h")
	return emulator, daemon, encryption.Config(t, encryption.V2, daemon.Socket)
}

// decode gives what kube-apiserver keeps in etcd under the prefix.
func decode(t *testing.T, stored []byte) *kmstypes.EncryptedObject {
	t.Helper()
	object := &kmstypes.EncryptedObject{}
	sealed := bytes.TrimPrefix(stored, []byte(encryption.V2.Prefix(encryption.Provider)))
	if err := proto.Unmarshal(sealed, object); err != nil {
		t.Fatal(err)
	}
	return object
}

func wantCalls(t *testing.T, emulator *harness.Emulator, encrypt, decrypt int) {
	t.Helper()
	calls := emulator.Stats(t).Calls
	if calls["encrypt"] != encrypt || calls["decrypt"] != decrypt {
		t.Errorf("calls to Key Vault: %v, not %d encrypt and %d decrypt", calls, encrypt, decrypt)
	}
}

func TestOneSeedPerAPIServerSealsManySecrets(t *testing.T) {
	t.Parallel()
	emulator, _, config := started(t)
	emulator.ResetStats(t)
	writer := encryption.Start(t, config)
	wantCalls(t, emulator, 1, 0)
	var stored [][]byte
	for range 100 {
		stored = append(stored, writer.MustWrite(t))
	}
	wantCalls(t, emulator, 1, 0)
	reader := encryption.Start(t, config)
	for _, value := range stored {
		if stale, err := reader.Read(value); err != nil || stale {
			t.Fatalf("stale %v, %v", stale, err)
		}
	}
	wantCalls(t, emulator, 2, 1) // the reader's own seed, and once the writer's
}

// wantSameKey checks that a server writes under the key_id of that object, and reads it as up to date.
func wantSameKey(t *testing.T, before []byte, server *encryption.APIServer) {
	t.Helper()
	after := server.MustWrite(t)
	if a, b := decode(t, before).KeyID, decode(t, after).KeyID; a != b {
		t.Errorf("key_id %s became %s", a, b)
	}
	if stale, err := server.Read(before); err != nil || stale {
		t.Errorf("stale %v, %v", stale, err)
	}
}

func TestTheKeyIDStaysTheSameWhenTheDaemonRestarts(t *testing.T) {
	t.Parallel()
	_, daemon, config := started(t)
	before := encryption.Start(t, config).MustWrite(t)
	daemon.Restart(t)
	daemon.WaitForLog(t, `"Healthy"`)
	wantSameKey(t, before, encryption.Start(t, config))
}

func TestANewVersionInKeyVaultChangesNothingForADaemonOnTheOldOne(t *testing.T) {
	t.Parallel()
	emulator, _, config := started(t)
	before := encryption.Start(t, config).MustWrite(t)
	emulator.Rotate(t)
	wantSameKey(t, before, encryption.Start(t, config))
}

func TestWhatIsStoredKeepsTheLimitsOfKubeAPIServer(t *testing.T) {
	t.Parallel()
	_, _, config := started(t)
	object := decode(t, encryption.Start(t, config).MustWrite(t))
	if err := kmsv2.ValidateEncryptedObject(object); err != nil {
		t.Error(err)
	}
	annotations := 0
	for name, value := range object.Annotations {
		annotations += len(name) + len(value)
	}
	if len(object.EncryptedDEKSource) >= 1024 || len(object.KeyID) != 64 || annotations == 0 || annotations >= 1024 {
		t.Errorf("%d bytes of ciphertext, key_id %q, %d bytes of annotations",
			len(object.EncryptedDEKSource), object.KeyID, annotations)
	}
	if object.EncryptedDEKSourceType != kmstypes.EncryptedDEKSourceType_HKDF_SHA256_XNONCE_AES_GCM_SEED {
		t.Errorf("the DEK's source is %v, not a seed", object.EncryptedDEKSourceType)
	}
}
