"""What kube-apiserver keeps in etcd, made and opened once more in Python.

Written from a description of the stored formats, and from no code of Kubernetes. Any plugin can be behind it: the
model of the Go plugin, or a client of the daemon.
"""

from kube_apiserver.inner import Refused
from kube_apiserver.store import PROVIDER, Kind, KubeApiserver, Opened, Plugin

__all__ = ["PROVIDER", "Kind", "KubeApiserver", "Opened", "Plugin", "Refused"]
