"""lnlab: networks made of namespaces, veth pairs and nftables NAT, and the programs that run in them.

Everything a lab makes carries its prefix and goes away with it, also when the lab is interrupted.
Traffic stays inside: no namespace of a lab has a way to the host's network.
"""
from .programs import LinnetAgent, LinnetServer, NetbirdAgent, NetbirdServer, programs_folder
from .topology import NAT_KINDS, Host, Lab, LabError, wait_until

__all__ = ["Host", "Lab", "LabError", "LinnetAgent", "LinnetServer", "NAT_KINDS", "NetbirdAgent", "NetbirdServer",
           "programs_folder", "wait_until"]
