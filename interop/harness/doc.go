// Package harness starts akv-emulator and azure-kms-provider as child processes for the interop suites,
// and talks to what neither kube-apiserver nor gRPC reaches: signals, the log, /healthz, the metrics
// and the emulator's control API.
//
// Only the standard library: the suites bring their own gRPC and Kubernetes versions. Linux only.
package harness
