"""lnlab: networks made of namespaces, veth pairs and nftables NAT, and the programs that run in them.

Everything a lab makes carries its prefix and goes away with it, also when the lab is interrupted.
Traffic stays inside: no namespace of a lab has a way to the host's network.
"""
from .programs import LinnetAgent, LinnetServer, NetbirdAgent, NetbirdServer
from .topology import Host, Lab, LabError, nat_kinds, programs_folder, wait_until

__all__ = ["Host", "Lab", "LabError", "LinnetAgent", "LinnetServer", "NetbirdAgent", "NetbirdServer", "nat_kinds",
           "programs_folder", "wait_until"]
