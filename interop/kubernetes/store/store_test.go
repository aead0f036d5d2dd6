// Package store holds no code: its tests run kube-apiserver's etcd3 store on an embedded etcd, and count what each
// step costs at Key Vault.
package store

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"azure-kms-provider/interop/harness"
	"azure-kms-provider/interop/kubernetes/encryption"
	"go.opentelemetry.io/otel/trace/noop"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/storage"
	etcd3testing "k8s.io/apiserver/pkg/storage/etcd3/testing"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
)

// secrets is how many secrets the cluster has.
const secrets = 500

// table is what each step cost.
var table = harness.NewTable("KMS", fmt.Sprintf("Step, with %d secrets", secrets), "Encrypt at Key Vault",
	"Decrypt at Key Vault", "Time")

func TestMain(m *testing.M) {
	os.Exit(table.PublishAfter(m, "STORE_TABLE"))
}

// open opens the store of secrets as one API server does.
func open(t *testing.T, etcd storagebackend.Config, server *encryption.APIServer) storage.Interface {
	t.Helper()
	info, found := runtime.SerializerInfoForMediaType(clientgoscheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	if !found {
		t.Fatal("no codec for protobuf")
	}
	etcd.Codec = clientgoscheme.Codecs.CodecForVersions(info.Serializer, clientgoscheme.Codecs.UniversalDeserializer(),
		corev1.SchemeGroupVersion, corev1.SchemeGroupVersion)
	etcd.Transport.TracerProvider = noop.NewTracerProvider()
	etcd.Transformer = server.Secrets()
	store, destroy, err := factory.Create(*etcd.ForResource(schema.GroupResource{Resource: "secrets"}),
		func() runtime.Object { return &corev1.Secret{} },
		func() runtime.Object { return &corev1.SecretList{} }, "/secrets")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(destroy)
	return store
}

func key(i int) string {
	return fmt.Sprintf("/secrets/default/s%03d", i)
}

func createAll(t *testing.T, store storage.Interface) {
	t.Helper()
	for i := range secrets {
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("s%03d", i), Namespace: "default"},
			Data:       map[string][]byte{"password": fmt.Appendf(nil, "secret %d", i)},
		}
		if err := store.Create(context.Background(), key(i), secret, &corev1.Secret{}, 0); err != nil {
			t.Fatal(err)
		}
	}
}

func listAll(t *testing.T, store storage.Interface) {
	t.Helper()
	list := &corev1.SecretList{}
	options := storage.ListOptions{Recursive: true, Predicate: storage.Everything}
	if err := store.GetList(context.Background(), "/secrets", options, list); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != secrets {
		t.Fatalf("%d secrets listed", len(list.Items))
	}
	for i, item := range list.Items {
		if got := string(item.Data["password"]); got != fmt.Sprintf("secret %d", i) {
			t.Fatalf("%s holds %q", item.Name, got)
		}
	}
}

// update writes one secret after the change, and says whether etcd has a new revision of it.
func update(t *testing.T, store storage.Interface, change func(*corev1.Secret)) bool {
	t.Helper()
	before, after := &corev1.Secret{}, &corev1.Secret{}
	if err := store.Get(context.Background(), key(0), storage.GetOptions{}, before); err != nil {
		t.Fatal(err)
	}
	apply := storage.SimpleUpdate(func(object runtime.Object) (runtime.Object, error) {
		change(object.(*corev1.Secret))
		return object, nil
	})
	if err := store.GuaranteedUpdate(context.Background(), key(0), after, false, nil, apply, nil); err != nil {
		t.Fatal(err)
	}
	return after.ResourceVersion != before.ResourceVersion
}

// ledger counts the calls to Key Vault, step by step.
type ledger struct {
	emulator *harness.Emulator
	api      encryption.API
	place    int
}

// within tells whether that many calls were made, but for second attempts of slow ones: a tenth at most.
func within(made, wanted int) bool {
	return made >= wanted && made <= wanted+wanted/10
}

// step takes one step, which has to cost that many calls.
func (l *ledger) step(t *testing.T, name string, encrypt, decrypt int, act func()) {
	t.Helper()
	l.emulator.ResetStats(t)
	start := time.Now()
	act()
	took := harness.Since(start)
	calls := l.emulator.Stats(t).Calls
	if !within(calls["encrypt"], encrypt) || !within(calls["decrypt"], decrypt) {
		t.Errorf("%s: calls %v, not %d encrypt and %d decrypt", name, calls, encrypt, decrypt)
	}
	l.place++
	table.Row(l.place, l.api.Name, name, calls["encrypt"], calls["decrypt"], took)
}

func TestWithV1EveryWriteAndEveryColdReadOfASecretIsACall(t *testing.T) {
	costs(t, encryption.V1, 0, cost{starting: 0, perSecret: 1, coldList: secrets, change: 1})
}

func TestWithV2AnAPIServerMakesOneCallForItselfAndOneForEachOtherThatWrote(t *testing.T) {
	costs(t, encryption.V2, 100, cost{starting: 1, perSecret: 0, coldList: 1, change: 0})
}

// cost is what the steps have to cost at Key Vault.
type cost struct{ starting, perSecret, coldList, change int }

func costs(t *testing.T, api encryption.API, place int, cost cost) {
	emulator := harness.StartEmulator(t)
	daemon := harness.StartDaemon(t, emulator, "--health-interval=1h")
	config := encryption.Config(t, api, daemon.Socket)
	_, etcd := etcd3testing.NewUnsecuredEtcd3TestClientServer(t)
	l := &ledger{emulator, api, place}

	var writer, reader storage.Interface
	l.step(t, "start of an API server", cost.starting, 0, func() { writer = open(t, *etcd, encryption.Start(t, config)) })
	l.step(t, "create all", cost.perSecret*secrets, 0, func() { createAll(t, writer) })
	l.step(t, "list all", 0, 0, func() { listAll(t, writer) })
	l.step(t, "start of another API server", cost.starting, 0, func() { reader = open(t, *etcd, encryption.Start(t, config)) })
	l.step(t, "list all, nothing cached", 0, cost.coldList, func() { listAll(t, reader) })
	l.step(t, "list all again", 0, 0, func() { listAll(t, reader) })
	l.step(t, "replace one with the same content", 0, 0, func() {
		if update(t, reader, func(*corev1.Secret) {}) {
			t.Error("a write without a change was not skipped")
		}
	})
	l.step(t, "replace one with other content", cost.change, 0, func() {
		if !update(t, reader, func(s *corev1.Secret) { s.Data["password"] = []byte("changed") }) {
			t.Error("a change was not written")
		}
	})
}
