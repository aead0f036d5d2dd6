package harness

import (
	"strings"
	"testing"
)

func TestADaemonComesBackAtTheSameSocketAndPortsAfterSIGTERMAndSIGKILL(t *testing.T) {
	emulator := StartEmulator(t)
	daemon := StartDaemon(t, emulator)
	daemon.Restart(t)
	daemon.WaitForHealthz(t, 200)
	daemon.Kill()
	if status, _ := daemon.Healthz(); status != 0 {
		t.Fatalf("a killed daemon answers %d", status)
	}
	daemon.Start(t)
	daemon.WaitForHealthz(t, 200)
	if runs := strings.Count(daemon.Log(), "Listening for connections"); runs != 3 {
		t.Fatalf("%d runs in the log, not 3", runs)
	}
}

func TestFaultsReachTheDaemonAndAreCounted(t *testing.T) {
	emulator := StartEmulator(t)
	daemon := StartDaemon(t, emulator)
	emulator.SetFaults(t, Outage)
	daemon.WaitForHealthz(t, 500)
	emulator.ResetStats(t)
	emulator.ClearFaults(t)
	daemon.WaitForHealthz(t, 200)
	if calls := emulator.Stats(t).Calls; calls["encrypt"] == 0 || calls["decrypt"] == 0 {
		t.Fatalf("the probes are not counted: %v", calls)
	}
}

func TestMetricsAreAddedUpOverTheirLabels(t *testing.T) {
	daemon := StartDaemon(t, StartEmulator(t))
	all := daemon.Metric(t, "kms_request_count")
	encrypt := daemon.Metric(t, "kms_request_count", `operation="encrypt"`, `status="success"`)
	if encrypt < 1 || all <= encrypt {
		t.Fatalf("%v requests, %v of them encrypt", all, encrypt)
	}
}

func TestARotationAddsAVersion(t *testing.T) {
	emulator := StartEmulator(t)
	version := emulator.Rotate(t)
	if len(version) != 32 || version == emulator.Info.KeyVersions[0] {
		t.Fatalf("version %q after %v", version, emulator.Info.KeyVersions)
	}
}

func TestADaemonIsHealthyWithEachKeyOfTheVectors(t *testing.T) {
	var keys []VectorKey
	for _, bits := range KeySizes {
		keys = append(keys, LoadVectorKey(t, bits))
	}
	emulator := StartEmulatorWithKeys(t, keys...)
	StartDaemon(t, emulator) // the emulator's own key is still there
	for _, key := range keys {
		StartDaemon(t, emulator, key.Flags()...).WaitForHealthz(t, 200)
	}
}
