package grpcgo

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	kmsv1 "k8s.io/kms/apis/v1beta1"
	kmsv2 "k8s.io/kms/apis/v2"
)

// callTimeout is kube-apiserver's default timeout of one KMS call.
const callTimeout = 3 * time.Second

// dek is as long as the data keys that kube-apiserver sends.
var dek = []byte("0123456789abcdef0123456789abcdef")

// client holds both services on one connection.
type client struct {
	v1 kmsv1.KeyManagementServiceClient
	v2 kmsv2.KeyManagementServiceClient
}

// dial connects as kube-apiserver does. grpc.Dial and not NewClient: with the latter grpc-go takes the socket's path
// for a DNS name, and sends another authority.
func dial(t *testing.T, socket string, options ...grpc.DialOption) client {
	t.Helper()
	options = append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return connect(socket) }),
	}, options...)
	connection, err := grpc.Dial(socket, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return client{kmsv1.NewKeyManagementServiceClient(connection), kmsv2.NewKeyManagementServiceClient(connection)}
}

func connect(socket string) (net.Conn, error) {
	return net.DialUnix("unix", nil, &net.UnixAddr{Name: socket})
}

// reportDials makes the connection as usual, and says each time that it was tried.
func reportDials(socket string, dialled chan<- struct{}) grpc.DialOption {
	return grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
		connection, err := connect(socket)
		select {
		case dialled <- struct{}{}:
		default: // nobody has to listen
		}
		return connection, err
	})
}

func (c client) encryptV1(ctx context.Context, plain []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, err := c.v1.Encrypt(ctx, &kmsv1.EncryptRequest{Version: "v1beta1", Plain: plain})
	return response.GetCipher(), err
}

func (c client) decryptV1(ctx context.Context, cipher []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, err := c.v1.Decrypt(ctx, &kmsv1.DecryptRequest{Version: "v1beta1", Cipher: cipher})
	return response.GetPlain(), err
}

func (c client) encryptV2(ctx context.Context, plaintext []byte) (*kmsv2.EncryptResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return c.v2.Encrypt(ctx, &kmsv2.EncryptRequest{Plaintext: plaintext, Uid: "interop"})
}

func (c client) decryptV2(ctx context.Context, sealed *kmsv2.EncryptResponse) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, err := c.v2.Decrypt(ctx, &kmsv2.DecryptRequest{
		Ciphertext: sealed.GetCiphertext(), Uid: "interop", KeyId: sealed.GetKeyId(), Annotations: sealed.GetAnnotations(),
	})
	return response.GetPlaintext(), err
}

// roundTripV1 is Version, Encrypt and Decrypt.
func (c client) roundTripV1(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	version, err := c.v1.Version(limited, &kmsv1.VersionRequest{Version: "v1beta1"})
	if err != nil || version.Version != "v1beta1" {
		return fmt.Errorf("Version: %v, %w", version, err)
	}
	cipher, err := c.encryptV1(ctx, dek)
	if err != nil {
		return fmt.Errorf("v1 Encrypt: %w", err)
	}
	plain, err := c.decryptV1(ctx, cipher)
	if err != nil || !bytes.Equal(plain, dek) {
		return fmt.Errorf("v1 Decrypt: %q, %w", plain, err)
	}
	return nil
}

// roundTripV2 is Status, Encrypt and Decrypt. The key_id has to be the same in both answers.
func (c client) roundTripV2(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	state, err := c.v2.Status(limited, &kmsv2.StatusRequest{})
	if err != nil || state.Version != "v2beta1" || state.Healthz != "ok" {
		return fmt.Errorf("Status: %v, %w", state, err)
	}
	sealed, err := c.encryptV2(ctx, dek)
	if err != nil || sealed.KeyId != state.KeyId {
		return fmt.Errorf("v2 Encrypt: %v, %w", sealed, err)
	}
	plaintext, err := c.decryptV2(ctx, sealed)
	if err != nil || !bytes.Equal(plaintext, dek) {
		return fmt.Errorf("v2 Decrypt: %q, %w", plaintext, err)
	}
	return nil
}

func (c client) roundTrips(t *testing.T) {
	t.Helper()
	if err := c.roundTripV1(t.Context()); err != nil {
		t.Error(err)
	}
	if err := c.roundTripV2(t.Context()); err != nil {
		t.Error(err)
	}
}

func wantCode(t *testing.T, what string, err error, want codes.Code) {
	t.Helper()
	if status.Code(err) != want {
		t.Errorf("%s: %v, not %v", what, err, want)
	}
}
