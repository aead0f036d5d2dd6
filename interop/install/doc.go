// Package install walks through docs/install.md as a new user does: its commands run as they stand there, on a real
// kube-apiserver, etcd, kubectl and etcdctl. The programs in standins/, and the kubelet in this package, stand in for
// what cannot be had in a test. It has to run in namespaces of its own, which the script `run` makes.
package install
