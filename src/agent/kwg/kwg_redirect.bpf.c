/*
 * Runs in the kernel for every packet on lo: see kwg_redirect.h. What WireGuard sends to 127.0.0.1
 * goes to the wake socket, and that address and port take nothing from anybody else, so that no
 * other program of the host can speak for WireGuard.
 */
/* The helpers need the types first. */
/* clang-format off */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
/* clang-format on */

#define FRAGMENTED 0x3fff /* an offset, or more to come */

/* Set before the program is loaded; network order. */
const volatile __be16 wireguard_port;
const volatile __be16 wake_port;

SEC("xdp") int kwg_redirect(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	if ((void *)(udp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5 ||
	    ip->protocol != IPPROTO_UDP || ip->daddr != bpf_htonl(INADDR_LOOPBACK) ||
	    (ip->frag_off & bpf_htons(FRAGMENTED)) != 0)
		return XDP_PASS;
	if (udp->source != wireguard_port)
		return udp->dest == wake_port ? XDP_DROP : XDP_PASS;
	udp->source = udp->dest;
	udp->dest = wake_port;
	udp->check = 0; /* none: it has not left the host */
	return XDP_PASS;
}

char kwg_redirect_license[] SEC("license") = "BSD";
