package harness

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
)

// KeySizes are those of the keys in interop/python/vectors.
var KeySizes = []int{2048, 3072, 4096}

// VectorKey is a key that everybody knows. Under it, data was sealed once for all time.
type VectorKey struct {
	Bits    int
	Name    string `json:"key_name"`
	Version string `json:"key_version"`
	// ID is its key_id.
	ID string `json:"key_id"`

	Private jwk `json:"private_key"`
}

// jwk holds the members of a private RSA key (RFC 7518 §6.3) that determine the others.
type jwk struct {
	N, E, D, P, Q string
}

// LoadVectorKey reads the key of that size.
func LoadVectorKey(t testing.TB, bits int) VectorKey {
	t.Helper()
	key := VectorKey{Bits: bits}
	LoadVectors(t, fmt.Sprintf("rsa-%d.json", bits), &key)
	return key
}

// LoadVectors reads one of the files.
func LoadVectors(t testing.TB, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(python(), "vectors", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// Flags give the key to a daemon.
func (k VectorKey) Flags() []string {
	return []string{"--key-name=" + k.Name, "--key-version=" + k.Version}
}

func (k VectorKey) pkcs8() ([]byte, error) {
	var numbers [5]*big.Int
	for i, member := range []string{k.Private.N, k.Private.E, k.Private.D, k.Private.P, k.Private.Q} {
		bytes, err := base64.RawURLEncoding.DecodeString(member)
		if err != nil {
			return nil, err
		}
		numbers[i] = new(big.Int).SetBytes(bytes)
	}
	public := rsa.PublicKey{N: numbers[0], E: int(numbers[1].Int64())}
	private := rsa.PrivateKey{PublicKey: public, D: numbers[2], Primes: numbers[3:]}
	if err := private.Validate(); err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(&private)
}

// storedKey is a key version as the emulator keeps it.
type storedKey struct {
	Version    string            `json:"version"`
	Enabled    bool              `json:"enabled"`
	NotBefore  *int64            `json:"nbf"`
	Expires    *int64            `json:"exp"`
	Created    int64             `json:"created"`
	Updated    int64             `json:"updated"`
	Bits       int               `json:"bits"`
	Operations []string          `json:"operations"`
	Tags       map[string]string `json:"tags"`
	PKCS8      []byte            `json:"pkcs8"`
}

// addKey writes the key into the file in which a stopped emulator keeps its keys: it has no import.
func (e *Emulator) addKey(key VectorKey) error {
	pkcs8, err := key.pkcs8()
	if err != nil {
		return fmt.Errorf("the key of %d bits: %w", key.Bits, err)
	}
	const created = 1_771_522_533 // any time in the past
	version := storedKey{
		Version: key.Version, Enabled: true, Created: created, Updated: created, Bits: key.Bits,
		Operations: []string{"encrypt", "decrypt"}, Tags: map[string]string{}, PKCS8: pkcs8,
	}
	return e.editState(func(keys map[string]any) { keys[key.Name] = []storedKey{version} })
}

func (e *Emulator) editState(edit func(keys map[string]any)) error {
	file := filepath.Join(e.dir, "state.json")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var state map[string]json.RawMessage
	if err := json.Unmarshal(text, &state); err != nil {
		return err
	}
	var keys map[string]any
	if err := json.Unmarshal(state["keys"], &keys); err != nil {
		return err
	}
	edit(keys)
	if state["keys"], err = json.Marshal(keys); err != nil {
		return err
	}
	if text, err = json.Marshal(state); err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}
