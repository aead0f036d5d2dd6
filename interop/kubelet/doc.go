// Package kubelet runs the daemon's static pod, and kube-apiserver's, under a real kubelet with containerd and runc. It has
// to run in namespaces of its own, which the script `run` makes.
package kubelet
