/*
 * Slots are cut from slabs of address space. A page becomes memory when it is written and ceases
 * to be when its slot is given back; the address space stays until the loop ends.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "src/ev/ev.h"
#include "src/ev/ev_internal.h"

#define SLAB_SLOTS 64
#define SLAB_BYTES ((size_t)SLAB_SLOTS * EV_SLOT_SIZE)

static void add_slab(struct ev_slots *s)
{
	uint8_t *mem = mmap(NULL, SLAB_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ln_assert(mem != MAP_FAILED);
	/* A huge page would make memory of what nobody has written. */
	(void)madvise(mem, SLAB_BYTES, MADV_NOHUGEPAGE);
	s->slabs = ln_realloc(s->slabs, (s->nslabs + 1) * sizeof(*s->slabs));
	s->slabs[s->nslabs++] = mem;
	/* Room for every slot there is: giving one back cannot fail. */
	s->free = ln_realloc(s->free, s->nslabs * SLAB_SLOTS * sizeof(*s->free));
	for (size_t i = SLAB_SLOTS; i > 0; i--)
		s->free[s->nfree++] = mem + (i - 1) * EV_SLOT_SIZE;
}

void *ev_slot_take(struct ev_loop *l)
{
	struct ev_slots *s = &l->slots;
	if (s->nfree == 0)
		add_slab(s);
	return s->free[--s->nfree];
}

void ev_slot_give(struct ev_loop *l, void *slot)
{
	struct ev_slots *s = &l->slots;
	if (slot == NULL)
		return;
	/* For private anonymous memory this also promises zeros to the next owner. */
	int r = madvise(slot, EV_SLOT_SIZE, MADV_DONTNEED);
	ln_assert(r == 0);
	ln_assert(s->nfree < s->nslabs * SLAB_SLOTS);
	s->free[s->nfree++] = slot;
}

void ev_slots_fini(struct ev_slots *s)
{
	ln_assert(s->nfree == s->nslabs * SLAB_SLOTS && "a slot was not given back");
	for (size_t i = 0; i < s->nslabs; i++)
		munmap(s->slabs[i], SLAB_BYTES);
	free(s->slabs);
	free(s->free);
}
