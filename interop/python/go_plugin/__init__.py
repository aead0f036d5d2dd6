"""The Go plugin once more, in Python: what it stores, and what it accepts.

Written from a description of its observable behaviour, and from none of the code under test, so that data can
be carried across in both directions.
"""

from go_plugin.formats import FORK, UPSTREAM, Codec
from go_plugin.plugin import GoPlugin, Refused
from go_plugin.vaults import KeyVersion, LocalVault, RemoteVault

__all__ = ["FORK", "UPSTREAM", "Codec", "GoPlugin", "KeyVersion", "LocalVault", "Refused", "RemoteVault"]
