#pragma once
/*
 * Segmentation work that the kernel leaves to us: the header in front of each packet of a TUN with
 * offloads (struct virtio_net_hdr of ten bytes, in host byte order), and Internet checksums
 * (RFC 1071). Sums are kept in host byte order, which the algorithm allows.
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"

#define WG_VNET_NEEDS_CSUM 1
#define WG_VNET_GSO_NONE 0
#define WG_VNET_GSO_TCP4 1
#define WG_VNET_GSO_TCP6 4
#define WG_VNET_GSO_UDP 5
#define WG_VNET_GSO_ECN 0x80 /* a flag beside the TCP values */

struct wg_vnet {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t header_len;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
};

_Static_assert(sizeof(struct wg_vnet) == 10, "struct virtio_net_hdr");

#define WG_OFFLOAD_TCP 6
#define WG_OFFLOAD_UDP 17

static inline uint16_t wg_offload_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t wg_offload_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void wg_offload_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void wg_offload_put32(uint8_t *p, uint32_t v)
{
	wg_offload_put16(p, (uint16_t)(v >> 16));
	wg_offload_put16(p + 2, (uint16_t)v);
}

/* Adds n bytes to a sum. Only the last piece of a sum may have an odd length. */
uint64_t wg_offload_sum(uint64_t sum, const uint8_t *p, size_t n);
/* Sum of the pseudo header of an IPv4 or IPv6 packet for `length` bytes behind its IP header. */
uint64_t wg_offload_pseudo(const uint8_t *packet, unsigned protocol, size_t length);
/* Folds a sum to 16 bits, not complemented. */
uint16_t wg_offload_fold(uint64_t sum);
/* Stores the complement of a sum: a finished checksum. */
void wg_offload_store(uint8_t *p, uint64_t sum);
/* Stores a sum as it is: what NEEDS_CSUM expects of the pseudo header. */
void wg_offload_store_partial(uint8_t *p, uint64_t sum);
