#pragma once
/* Pieces that several messages share; private to lib/mgmt. */
#include "lib/mgmt/mgmt_msg.h"

#include "proto/management.pb-c.h"
#include "proto/proto_msg.h"

void mgmt_meta_from_wire(struct proto_reader *r, const Management__PeerSystemMeta *w,
			 struct mgmt_meta *ret);
Management__PeerSystemMeta *mgmt_meta_to_wire(struct proto_writer *w, const struct mgmt_meta *m);

void mgmt_servers_from_wire(struct proto_reader *r, const Management__NetbirdConfig *w,
			    struct mgmt_servers *ret);
Management__NetbirdConfig *mgmt_servers_to_wire(struct proto_writer *w,
						const struct mgmt_servers *m);

void mgmt_self_from_wire(struct proto_reader *r, const Management__PeerConfig *w,
			 struct netmap_self *ret);
Management__PeerConfig *mgmt_self_to_wire(struct proto_writer *w, const struct netmap_self *m);

/* The lists of a map: what stands in the message is borrowed by its deprecated copies. */
void mgmt_map_from_wire(struct proto_reader *r, const Management__NetworkMap *w,
			struct netmap *ret);
Management__NetworkMap *mgmt_map_to_wire(struct proto_writer *w, const struct netmap *m,
					 const struct mgmt_map_options *opt);

struct mgmt_deadline mgmt_deadline_from_wire(const Google__Protobuf__Timestamp *t);
Google__Protobuf__Timestamp *mgmt_deadline_to_wire(struct proto_writer *w,
						   const struct mgmt_deadline *d);
