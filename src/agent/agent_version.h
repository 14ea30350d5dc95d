#pragma once
/*
 * What this agent says it is. Servers and peers compare this text with NetBird's versions and gate
 * features on it (spec management-protocol trap 16, signal-and-connection 5.10): from 0.45.0 on
 * GO_IDLE is understood, from 0.64.0 on a Job stream is kept open. "linnet" shows its own version.
 */
#define AGENT_NETBIRD_VERSION "0.77.1"
