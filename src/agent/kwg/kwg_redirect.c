#include "src/agent/kwg/kwg_redirect.h"

#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "src/ev/ev_library.h"
#include "src/obs/obs_log.h"

/*
 * libbpf is loaded when the redirect is asked for. Its functions stand in this table; in the
 * skeleton and below their names mean the loaded ones.
 */
#define LIBBPF "libbpf.so.1"
#define FUNCTIONS(X)                                                                               \
 X(bpf_link__destroy)                                                                              \
 X(bpf_object__attach_skeleton)                                                                    \
 X(bpf_object__destroy_skeleton)                                                                   \
 X(bpf_object__detach_skeleton)                                                                    \
 X(bpf_object__load_skeleton)                                                                      \
 X(bpf_object__open_skeleton)                                                                      \
 X(bpf_program__attach_xdp)                                                                        \
 X(libbpf_set_print)

static struct libbpf {
#define SLOT(name) typeof(&name) name;
	FUNCTIONS(SLOT)
} libbpf;

#define NAME(name) { #name, offsetof(struct libbpf, name) },
static const struct ev_library_name names[] = { FUNCTIONS(NAME) };

#define bpf_link__destroy (*libbpf.bpf_link__destroy)
#define bpf_object__attach_skeleton (*libbpf.bpf_object__attach_skeleton)
#define bpf_object__destroy_skeleton (*libbpf.bpf_object__destroy_skeleton)
#define bpf_object__detach_skeleton (*libbpf.bpf_object__detach_skeleton)
#define bpf_object__load_skeleton (*libbpf.bpf_object__load_skeleton)
#define bpf_object__open_skeleton (*libbpf.bpf_object__open_skeleton)
#define bpf_program__attach_xdp (*libbpf.bpf_program__attach_xdp)
#define libbpf_set_print (*libbpf.libbpf_set_print)

#include <kwg_redirect.skel.h>

struct kwg_redirect {
	struct kwg_redirect_bpf *bpf;
	struct bpf_link *link;
};

/* libbpf explains itself on the standard error otherwise. */
static int on_print(enum libbpf_print_level level, const char *format, va_list args)
{
	char text[512];
	if (level > LIBBPF_INFO)
		return 0;
	int n = vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = '\0';
	log_debug("kwg", "libbpf", LOG_STR("says", text));
	return n;
}

static struct ln_fail trouble;
static int loaded;

static void load(void)
{
	loaded = ev_library_load(LIBBPF, names, LN_COUNT(names), &libbpf, &trouble);
}

static int start(struct kwg_redirect *r, uint16_t wireguard_port, uint16_t wake_port,
		 struct ln_fail *f)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, load);
	if (loaded < 0) {
		*f = trouble;
		return loaded;
	}
	(void)libbpf_set_print(on_print);
	r->bpf = kwg_redirect_bpf__open();
	if (r->bpf == NULL)
		return ln_fail(f, -errno, "the XDP program cannot be opened: %s",
			       ln_strerror(-errno));
	r->bpf->rodata->wireguard_port = htons(wireguard_port);
	r->bpf->rodata->wake_port = htons(wake_port);
	int err = kwg_redirect_bpf__load(r->bpf);
	if (err < 0)
		return ln_fail(f, err, "the kernel does not take the XDP program: %s",
			       ln_strerror(err));
	/* A link, so that the kernel takes it off again when this process ends. */
	r->link = bpf_program__attach_xdp(r->bpf->progs.kwg_redirect, (int)if_nametoindex("lo"));
	if (r->link == NULL)
		return ln_fail(f, -errno, "no XDP program can be put on lo: %s%s",
			       ln_strerror(-errno),
			       errno == EBUSY ? " (there is one already)" : "");
	return 0;
}

int kwg_redirect_new(uint16_t wireguard_port, uint16_t wake_port, struct kwg_redirect **ret,
		     struct ln_fail *f)
{
	struct kwg_redirect *r = ln_alloc(sizeof(*r));
	int err = start(r, wireguard_port, wake_port, f);
	if (err < 0) {
		kwg_redirect_free(r);
		return err;
	}
	*ret = r;
	return 0;
}

void kwg_redirect_free(struct kwg_redirect *r)
{
	if (r == NULL)
		return;
	if (r->link != NULL)
		(void)!bpf_link__destroy(r->link);
	if (r->bpf != NULL)
		kwg_redirect_bpf__destroy(r->bpf);
	free(r);
}
