#include "lib/mgmt/mgmt_internal.h"

#define TEXTS(X)                                                                                   \
 X(hostname, hostname)                                                                             \
 X(go_os, goos)                                                                                    \
 X(kernel, kernel)                                                                                 \
 X(core, core)                                                                                     \
 X(platform, platform)                                                                             \
 X(os, os)                                                                                         \
 X(version, netbirdversion)                                                                        \
 X(ui_version, uiversion)                                                                          \
 X(kernel_version, kernelversion)                                                                  \
 X(os_version, osversion)                                                                          \
 X(serial, sysserialnumber)                                                                        \
 X(product, sysproductname)                                                                        \
 X(manufacturer, sysmanufacturer)

#define FLAGS(X)                                                                                   \
 X(ROSENPASS, rosenpassenabled)                                                                    \
 X(ROSENPASS_PERMISSIVE, rosenpasspermissive)                                                      \
 X(SSH_ALLOWED, serversshallowed)                                                                  \
 X(NO_CLIENT_ROUTES, disableclientroutes)                                                          \
 X(NO_SERVER_ROUTES, disableserverroutes)                                                          \
 X(NO_DNS, disabledns)                                                                             \
 X(NO_FIREWALL, disablefirewall)                                                                   \
 X(BLOCK_LAN, blocklanaccess)                                                                      \
 X(BLOCK_INBOUND, blockinbound)                                                                    \
 X(LAZY, lazyconnectionenabled)                                                                    \
 X(NO_IPV6, disableipv6)

/* Capabilities are bits of a word; a number beyond it is one we do not know anyway. */
#define CAPABILITY_MAX 31

static bool empty(const char *text)
{
	return text == NULL || *text == '\0';
}

bool mgmt_meta_is_empty(const struct mgmt_meta *m)
{
#define TEXT_EMPTY(ours, wire) empty(m->ours) &&
	return TEXTS(TEXT_EMPTY) empty(m->cloud) && empty(m->environment) && m->naddresses == 0 &&
	       m->nfiles == 0 && m->flags == 0 && m->capabilities == 0 && m->sync_version == 0;
#undef TEXT_EMPTY
}

void mgmt_meta_from_wire(struct proto_reader *r, const Management__PeerSystemMeta *w,
			 struct mgmt_meta *ret)
{
#define TEXT_READ(ours, wire) ret->ours = proto_str(r, w->wire);
	TEXTS(TEXT_READ)
#undef TEXT_READ
	ret->cloud = w->environment != NULL ? proto_str(r, w->environment->cloud) : "";
	ret->environment = w->environment != NULL ? proto_str(r, w->environment->platform) : "";

	struct mgmt_net_address *addresses =
		proto_room(r, w->n_networkaddresses, sizeof(*addresses));
	for (size_t i = 0; addresses != NULL && i < w->n_networkaddresses; i++) {
		addresses[i].prefix = proto_str(r, w->networkaddresses[i]->netip);
		addresses[i].mac = proto_str(r, w->networkaddresses[i]->mac);
	}
	ret->addresses = addresses;
	ret->naddresses = w->n_networkaddresses;

	struct mgmt_file *files = proto_room(r, w->n_files, sizeof(*files));
	for (size_t i = 0; files != NULL && i < w->n_files; i++) {
		files[i].path = proto_str(r, w->files[i]->path);
		files[i].exists = w->files[i]->exist;
		files[i].running = w->files[i]->processisrunning;
	}
	ret->files = files;
	ret->nfiles = w->n_files;

	ret->flags = 0;
	if (w->flags != NULL) {
#define FLAG_READ(ours, wire)                                                                      \
 if (w->flags->wire)                                                                               \
  ret->flags |= 1u << MGMT_FLAG_##ours;
		FLAGS(FLAG_READ)
#undef FLAG_READ
	}
	ret->capabilities = 0;
	for (size_t i = 0; i < w->n_capabilities; i++) {
		int c = (int)w->capabilities[i];
		if (c > 0 && c <= CAPABILITY_MAX)
			ret->capabilities |= 1u << c;
	}
	ret->sync_version = w->syncmessageversion;
}

static void addresses_to_wire(struct proto_writer *w, const struct mgmt_meta *m,
			      Management__PeerSystemMeta *p)
{
	p->n_networkaddresses = m->naddresses;
	p->networkaddresses = proto_array(w, m->naddresses, sizeof(*p->networkaddresses));
	for (size_t i = 0; i < m->naddresses; i++) {
		Management__NetworkAddress *a =
			proto_new(w, &management__network_address__descriptor);
		a->netip = proto_text(m->addresses[i].prefix);
		a->mac = proto_text(m->addresses[i].mac);
		p->networkaddresses[i] = a;
	}
}

static void files_to_wire(struct proto_writer *w, const struct mgmt_meta *m,
			  Management__PeerSystemMeta *p)
{
	p->n_files = m->nfiles;
	p->files = proto_array(w, m->nfiles, sizeof(*p->files));
	for (size_t i = 0; i < m->nfiles; i++) {
		Management__File *f = proto_new(w, &management__file__descriptor);
		f->path = proto_text(m->files[i].path);
		f->exist = m->files[i].exists;
		f->processisrunning = m->files[i].running;
		p->files[i] = f;
	}
}

/* Environment and flags are always there, also empty, as the other agents send them. */
Management__PeerSystemMeta *mgmt_meta_to_wire(struct proto_writer *w, const struct mgmt_meta *m)
{
	Management__PeerSystemMeta *p = proto_new(w, &management__peer_system_meta__descriptor);
#define TEXT_WRITE(ours, wire) p->wire = proto_text(m->ours);
	TEXTS(TEXT_WRITE)
#undef TEXT_WRITE
	addresses_to_wire(w, m, p);
	files_to_wire(w, m, p);
	p->environment = proto_new(w, &management__environment__descriptor);
	p->environment->cloud = proto_text(m->cloud);
	p->environment->platform = proto_text(m->environment);
	p->flags = proto_new(w, &management__flags__descriptor);
#define FLAG_WRITE(ours, wire) p->flags->wire = (m->flags >> MGMT_FLAG_##ours & 1) != 0;
	FLAGS(FLAG_WRITE)
#undef FLAG_WRITE
	p->capabilities = proto_array(w, CAPABILITY_MAX, sizeof(*p->capabilities));
	for (int c = 1; c <= CAPABILITY_MAX; c++) {
		if ((m->capabilities >> c & 1) != 0)
			p->capabilities[p->n_capabilities++] = (Management__PeerCapability)c;
	}
	p->syncmessageversion = m->sync_version;
	return p;
}
