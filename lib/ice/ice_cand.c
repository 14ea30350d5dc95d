#include "lib/ice/ice_cand.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/cursor.h"
#include "lib/crypto/digest.h"

#define UFRAG_MIN 3 /* spec 2.2: what upstream's library accepts */
#define PWD_MIN 16
#define UFRAG_LEN 16
#define PWD_LEN 32
#define CID_LEN 32
#define DEFAULT_LOCAL_PREF 65535
#define COMPONENT 1

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
#define LETTERS_ONLY 52
#define ICE_CHARS 64

static const struct {
	const char *name;
	uint32_t pref; /* RFC 8445 5.1.2.2 */
} types[] = {
	[ICE_CAND_HOST] = { "host", 126 },
	[ICE_CAND_SRFLX] = { "srflx", 100 },
	[ICE_CAND_PRFLX] = { "prflx", 110 },
	[ICE_CAND_RELAY] = { "relay", 0 },
};

const char *ice_cand_type_name(enum ice_cand_type t)
{
	return types[t].name;
}

uint32_t ice_cand_priority(enum ice_cand_type t, uint16_t local_pref)
{
	return types[t].pref << 24 | (uint32_t)local_pref << 8 | (256 - COMPONENT);
}

static void random_text(char *dst, size_t n, uint32_t alphabet, const struct ln_rng *rng)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = letters[rng_below(rng, alphabet)];
	dst[n] = '\0';
}

void ice_cred_generate(struct ice_cred *ret, const struct ln_rng *rng)
{
	memset(ret, 0, sizeof(*ret));
	random_text(ret->ufrag, UFRAG_LEN, LETTERS_ONLY, rng);
	random_text(ret->pwd, PWD_LEN, LETTERS_ONLY, rng);
}

/* Visible ASCII of at most max characters, copied as a string. */
static bool copy_visible(struct slice s, char *dst, size_t min, size_t max)
{
	if (s.n < min || s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	memcpy(dst, s.p, s.n);
	dst[s.n] = '\0';
	return true;
}

int ice_cred_parse(struct slice payload, struct ice_cred *ret)
{
	struct ice_cred cred = { 0 };
	const uint8_t *colon = payload.n != 0 ? memchr(payload.p, ':', payload.n) : NULL;

	if (colon == NULL)
		return LN_E_MALFORMED;
	struct slice ufrag = slice_of(payload.p, (size_t)(colon - payload.p));
	struct slice pwd = slice_after(payload, ufrag.n + 1);
	if (pwd.n != 0 && memchr(pwd.p, ':', pwd.n) != NULL)
		return LN_E_MALFORMED;
	/* Spec 2.7: ICE is supported when both parts are there. */
	if (ufrag.n != 0 && pwd.n != 0 &&
	    (!copy_visible(ufrag, cred.ufrag, UFRAG_MIN, ICE_UFRAG_MAX) ||
	     !copy_visible(pwd, cred.pwd, PWD_MIN, ICE_PWD_MAX)))
		return LN_E_MALFORMED;
	*ret = cred;
	return 0;
}

/* Spec 2.10: CRC-32 of type, address and "udp4" or "udp6", in decimal. */
static void make_foundation(struct ice_cand *c)
{
	char text[IP_TEXT_MAX + 16];
	char addr[IP_TEXT_MAX];
	ip_format(&c->addr.addr, addr);
	snprintf(text, sizeof(text), "%s%s%s", types[c->type].name, addr,
		 c->addr.addr.family == 4 ? "udp4" : "udp6");
	snprintf(c->foundation, sizeof(c->foundation), "%u", digest_crc32(0, slice_str(text)));
}

void ice_cand_init(struct ice_cand *c, enum ice_cand_type t, const struct ip_ep *addr,
		   const struct ip_ep *related, const char *ufrag, const struct ln_rng *rng)
{
	*c = (struct ice_cand){
		.type = t,
		.addr = *addr,
		.priority = ice_cand_priority(t, DEFAULT_LOCAL_PREF),
	};
	if (related != NULL)
		c->related = *related;
	snprintf(c->ufrag, sizeof(c->ufrag), "%s", ufrag);
	random_text(c->cid, CID_LEN, ICE_CHARS, rng);
	make_foundation(c);
}

/* The next word and the space behind it; empty at the end. */
static struct slice word(struct slice *rest)
{
	const uint8_t *space = rest->n != 0 ? memchr(rest->p, ' ', rest->n) : NULL;
	struct slice w = *rest;
	if (space != NULL)
		w.n = (size_t)(space - rest->p);
	*rest = slice_after(*rest, w.n + 1);
	return w;
}

static bool decimal(struct slice s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	if (s.n == 0 || s.n > 10)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	}
	*ret = v;
	return v <= max;
}

static bool same_word(struct slice s, const char *name)
{
	return s.n == strlen(name) && strncasecmp((const char *)s.p, name, s.n) == 0;
}

static int parse_foundation(struct slice s, struct ice_cand *c)
{
	if (s.n > ICE_FOUNDATION_MAX)
		return LN_E_MALFORMED;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == 0 || strchr(letters, s.p[i]) == NULL)
			return LN_E_MALFORMED;
	memcpy(c->foundation, s.p, s.n);
	return 0;
}

/* A literal address; a zone is cut off (spec 3.12). */
static int parse_addr(struct slice s, struct ip_addr *ret)
{
	static const char local[] = ".local";
	const uint8_t *zone = s.n != 0 ? memchr(s.p, '%', s.n) : NULL;
	if (zone != NULL)
		s.n = (size_t)(zone - s.p);
	/* Spec 3.1: mDNS names are ignored. */
	if (s.n > strlen(local) && same_word(slice_after(s, s.n - strlen(local)), local))
		return LN_E_UNSUPPORTED;
	return ip_parse(s, ret);
}

static int parse_type(struct slice s, enum ice_cand_type *ret)
{
	for (unsigned i = 0; i < LN_COUNT(types); i++) {
		if (same_word(s, types[i].name)) {
			*ret = (enum ice_cand_type)i;
			return 0;
		}
	}
	return LN_E_UNSUPPORTED;
}

/* "key value" pairs; those we do not know, and a key without value, are passed over. */
static int parse_extensions(struct slice rest, struct ice_cand *c)
{
	uint64_t port;
	while (rest.n != 0) {
		struct slice key = word(&rest);
		struct slice value = word(&rest);
		if (slice_is(key, "raddr")) {
			if (value.n != 0 && parse_addr(value, &c->related.addr) != 0)
				return LN_E_MALFORMED;
		} else if (slice_is(key, "rport")) {
			if (!decimal(value, 65535, &port))
				return LN_E_MALFORMED;
			c->related.port = (uint16_t)port;
		} else if (slice_is(key, "ufrag")) {
			if (!copy_visible(value, c->ufrag, 0, ICE_UFRAG_MAX))
				return LN_E_MALFORMED;
		} else if (slice_is(key, "cid")) {
			if (!copy_visible(value, c->cid, 0, ICE_CID_MAX))
				return LN_E_MALFORMED;
		}
	}
	return 0;
}

/* Foundation to type; the extensions stay in *rest. */
static int parse_fixed(struct slice *rest, struct ice_cand *c)
{
	uint64_t component;
	uint64_t priority;
	uint64_t port;

	int err = parse_foundation(word(rest), c);
	if (err != 0)
		return err;
	if (!decimal(word(rest), 256, &component))
		return LN_E_MALFORMED;
	if (!same_word(word(rest), "udp"))
		return LN_E_UNSUPPORTED;
	if (!decimal(word(rest), UINT32_MAX, &priority))
		return LN_E_MALFORMED;
	err = parse_addr(word(rest), &c->addr.addr);
	if (err != 0)
		return err;
	if (!decimal(word(rest), 65535, &port) || port == 0)
		return LN_E_MALFORMED;
	if (!slice_is(word(rest), "typ"))
		return LN_E_MALFORMED;
	err = parse_type(word(rest), &c->type);
	if (err != 0)
		return err;
	c->addr.port = (uint16_t)port;
	c->priority =
		priority != 0 ? (uint32_t)priority : ice_cand_priority(c->type, DEFAULT_LOCAL_PREF);
	return 0;
}

int ice_cand_parse(struct slice text, struct ice_cand *ret)
{
	static const char prefix[] = "candidate:";
	struct ice_cand c = { 0 };

	if (text.n >= ICE_CAND_TEXT_MAX)
		return LN_E_LIMIT;
	if (slice_has_prefix(text, slice_str(prefix)))
		text = slice_after(text, strlen(prefix));
	int err = parse_fixed(&text, &c);
	if (err == 0)
		err = parse_extensions(text, &c);
	if (err != 0)
		return err;
	*ret = c;
	return 0;
}

size_t ice_cand_format(const struct ice_cand *c, char dst[ICE_CAND_TEXT_MAX])
{
	char addr[IP_TEXT_MAX];
	ip_format(&c->addr.addr, addr);
	int n = snprintf(dst, ICE_CAND_TEXT_MAX, "%s 1 udp %u %s %u typ %s", c->foundation,
			 c->priority, addr, c->addr.port, types[c->type].name);
	if (ip_is_set(&c->related.addr) && c->related.port != 0) {
		ip_format(&c->related.addr, addr);
		n += snprintf(dst + n, (size_t)(ICE_CAND_TEXT_MAX - n), " raddr %s rport %u", addr,
			      c->related.port);
	}
	if (c->ufrag[0] != '\0')
		n += snprintf(dst + n, (size_t)(ICE_CAND_TEXT_MAX - n), " ufrag %s", c->ufrag);
	if (c->cid[0] != '\0')
		n += snprintf(dst + n, (size_t)(ICE_CAND_TEXT_MAX - n), " cid %s", c->cid);
	return (size_t)n;
}
