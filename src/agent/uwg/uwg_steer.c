#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/agent/uwg/uwg_internal.h"

/*
 * Which queue of the TUN a packet waits in: a program of the kernel's packet filter that returns a
 * number made of its addresses, its protocol and, if it has them, its ports. A flow is therefore
 * always in the same queue. Without a program the kernel would move a flow to the queue that an
 * answer was last written to, and back after some seconds, and packets would overtake each other.
 */

/* The program's registers. LOAD puts bytes of the packet into r0, and needs the context in r6. */
enum {
	R0,
	R1,
	CONTEXT = 6,
	SUM,
	PROTOCOL,
};

#define INSN(...) ((struct bpf_insn){ __VA_ARGS__ })
#define LOAD(size, at) INSN(.code = BPF_LD | BPF_ABS | (size), .imm = (at))
#define LOAD_BEHIND_R0(size, at) INSN(.code = BPF_LD | BPF_IND | (size), .imm = (at))
#define SET(to, from) INSN(.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (to), .src_reg = (from))
#define ADD(to, from) INSN(.code = BPF_ALU64 | BPF_ADD | BPF_X, .dst_reg = (to), .src_reg = (from))
#define ALU(op, reg, n) INSN(.code = BPF_ALU64 | (op) | BPF_K, .dst_reg = (reg), .imm = (n))
#define JUMP(op, reg, n, over)                                                                     \
 INSN(.code = BPF_JMP | (op) | BPF_K, .dst_reg = (reg), .imm = (n), .off = (over))
#define END INSN(.code = BPF_JMP | BPF_EXIT)

#define MIX 0x61c88647 /* odd, its bits well spread */

/* A load past the end of the packet ends the program with 0. */
static const struct bpf_insn program[] = {
	SET(CONTEXT, R1),
	LOAD(BPF_B, 0),
	ALU(BPF_RSH, R0, 4),
	JUMP(BPF_JEQ, R0, 6, 17), /* to IPv6 */

	/* IPv4: both addresses, and the protocol. */
	LOAD(BPF_W, 12),
	SET(SUM, R0),
	ALU(BPF_MUL, SUM, MIX),
	LOAD(BPF_W, 16),
	ADD(SUM, R0),
	LOAD(BPF_B, 9),
	SET(PROTOCOL, R0),
	ADD(SUM, R0),
	/* Of a fragment there is no more to be known than of the others. */
	LOAD(BPF_H, 6),
	JUMP(BPF_JSET, R0, 0x3fff, 20), /* to the end */
	JUMP(BPF_JEQ, PROTOCOL, WG_OFFLOAD_TCP, 1),
	JUMP(BPF_JNE, PROTOCOL, WG_OFFLOAD_UDP, 18), /* to the end */
	LOAD(BPF_B, 0),
	ALU(BPF_AND, R0, 15),
	ALU(BPF_LSH, R0, 2),
	LOAD_BEHIND_R0(BPF_W, 0),
	JUMP(BPF_JA, 0, 0, 11), /* to the ports */

	/* IPv6: what differs most in addresses of one network, and the next header. */
	LOAD(BPF_W, 20),
	SET(SUM, R0),
	ALU(BPF_MUL, SUM, MIX),
	LOAD(BPF_W, 36),
	ADD(SUM, R0),
	LOAD(BPF_B, 6),
	SET(PROTOCOL, R0),
	ADD(SUM, R0),
	JUMP(BPF_JEQ, PROTOCOL, WG_OFFLOAD_TCP, 1),
	JUMP(BPF_JNE, PROTOCOL, WG_OFFLOAD_UDP, 3), /* to the end */
	LOAD(BPF_W, 40),

	/* The ports. */
	ALU(BPF_MUL, SUM, MIX),
	ADD(SUM, R0),

	/* The end: the kernel takes the remainder by the number of queues. */
	ALU(BPF_MUL, SUM, MIX),
	SET(R0, SUM),
	ALU(BPF_RSH, R0, 20),
	END,
};

static int load(void)
{
	union bpf_attr a;
	memset(&a, 0, sizeof(a)); /* the kernel wants zeros in all of it */
	a.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	a.insn_cnt = LN_COUNT(program);
	a.insns = (uintptr_t)program;
	a.license = (uintptr_t) "BSD";
	long fd = syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof(a));
	return fd < 0 ? -errno : (int)fd;
}

int uwg_steer(int tun)
{
	int fd = load();
	if (fd < 0)
		return fd;
	int r = ioctl(tun, TUNSETSTEERINGEBPF, &fd) < 0 ? -errno : 0;
	close(fd); /* the interface holds it */
	return r;
}
