// Package grpcgo holds no code: its tests call the daemon with the current grpc-go, dialled as kube-apiserver
// dials it, and with the protocol code of k8s.io/kms.
package grpcgo
