#include "src/net/net_goaway.h"

#include "lib/base/err.h"

#define PREFACE_LEN 24
#define TYPE_GOAWAY 7

void net_goaway_init(struct net_goaway *g)
{
	*g = (struct net_goaway){ .skip = PREFACE_LEN };
}

static void take_head(struct net_goaway *g)
{
	const uint8_t *h = g->head;
	g->nhead = 0;
	g->skip = (uint32_t)h[0] << 16 | (uint32_t)h[1] << 8 | h[2];
	if (h[3] == TYPE_GOAWAY && g->skip >= 4)
		g->zero = 4;
}

struct slice net_goaway_next(struct net_goaway *g, struct slice *in)
{
	static const uint8_t zeros[4];
	size_t i = 0;
	if (g->zero != 0) {
		size_t n = LN_MIN((size_t)g->zero, in->n);
		g->zero -= (uint8_t)n;
		g->skip -= (uint32_t)n;
		*in = slice_after(*in, n);
		return slice_of(zeros, n);
	}
	while (i < in->n && g->zero == 0) {
		if (g->skip != 0) {
			size_t n = LN_MIN((size_t)g->skip, in->n - i);
			g->skip -= (uint32_t)n;
			i += n;
			continue;
		}
		g->head[g->nhead++] = in->p[i++];
		if (g->nhead == sizeof(g->head))
			take_head(g);
	}
	struct slice piece = slice_of(in->p, i);
	*in = slice_after(*in, i);
	return piece;
}
