#include "src/cmd/linnet_settings.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/ip.h"
#include "lib/crypto/key.h"

#define MTU_MIN 576
#define MTU_MAX 8192
#define DNS_LABELS_MAX 32
#define SETUP_KEY_MAX 4096

/* --- checks ----------------------------------------------------------------------------------- */

/* EXT, EXT/INT or EXT/INTERFACE. */
static bool is_ip_map(const char *s)
{
	struct ip_addr a;
	size_t n = strcspn(s, "/");
	if (ip_parse(slice_of(s, n), &a) < 0)
		return false;
	if (s[n] == '\0')
		return true;
	const char *inner = s + n + 1;
	return ip_parse(slice_str(inner), &a) == 0 ||
	       (inner[0] != '\0' && strlen(inner) < IF_NAMESIZE && strchr(inner, '/') == NULL);
}

static bool is_label(const char *s)
{
	size_t n = strlen(s);
	if (n == 0 || n > 63 || s[0] == '-' || s[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '-')
			return false;
	return true;
}

static int check_lists(const struct linnet_cli *cli, struct ln_fail *f)
{
	const struct linnet_value *maps = &cli->values[OPT_EXTERNAL_IP_MAP];
	const struct linnet_value *labels = &cli->values[OPT_EXTRA_DNS_LABELS];
	for (size_t i = 0; i < maps->nlist; i++)
		if (!is_ip_map(maps->list[i]))
			return ln_fail(f, LN_E_MALFORMED,
				       "--external-ip-map: \"%.60s\" is not EXT, EXT/INT or "
				       "EXT/INTERFACE",
				       maps->list[i]);
	if (labels->nlist > DNS_LABELS_MAX)
		return ln_fail(f, LN_E_MALFORMED, "--extra-dns-labels: at most %d labels",
			       DNS_LABELS_MAX);
	for (size_t i = 0; i < labels->nlist; i++)
		if (!is_label(labels->list[i]))
			return ln_fail(f, LN_E_MALFORMED,
				       "--extra-dns-labels: \"%.80s\" is not a label (letters, "
				       "digits and inner hyphens, at most 63)",
				       labels->list[i]);
	return 0;
}

static int check_texts(const struct linnet_cli *cli, struct ln_fail *f)
{
	int64_t mtu = cli->values[OPT_MTU].number;
	if (mtu < MTU_MIN || mtu > MTU_MAX)
		return ln_fail(f, LN_E_MALFORMED, "--mtu: %lld is not between %d and %d",
			       (long long)mtu, MTU_MIN, MTU_MAX);
	const char *url = linnet_text(cli, OPT_MANAGEMENT_URL);
	if (url[0] != '\0' && strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
		return ln_fail(
			f, LN_E_MALFORMED,
			"--management-url: \"%.100s\" does not begin with http:// or https://",
			url);
	const char *psk = linnet_text(cli, OPT_PRESHARED_KEY);
	LN_SECRET(wg_secret) key;
	if (psk[0] != '\0' && wg_secret_parse(slice_str(psk), &key) < 0)
		return ln_fail(f, LN_E_MALFORMED,
			       "--preshared-key: not the base64 text of 32 bytes");
	const char *dns = linnet_text(cli, OPT_DNS_RESOLVER_ADDRESS);
	struct ip_ep ep;
	if (dns[0] != '\0' && ip_ep_parse(slice_str(dns), &ep) < 0)
		return ln_fail(f, LN_E_MALFORMED,
			       "--dns-resolver-address: \"%.60s\" is not IP:PORT", dns);
	const char *name = linnet_text(cli, OPT_INTERFACE_NAME);
	if (strlen(name) >= IF_NAMESIZE || name[0] == '\0' || strpbrk(name, "/ :*\"") != NULL)
		return ln_fail(f, LN_E_MALFORMED,
			       "--interface-name: \"%.40s\" is not the name of an interface", name);
	return 0;
}

/* --- settings --------------------------------------------------------------------------------- */

#define TAKE_BOOL(field, id)                                                                       \
 do {                                                                                              \
  ret->field = linnet_on(cli, id);                                                                 \
  ret->has_##field = linnet_given(cli, id);                                                        \
 } while (0)
#define TAKE_NUMBER(field, id)                                                                     \
 do {                                                                                              \
  ret->field = cli->values[id].number;                                                             \
  ret->has_##field = linnet_given(cli, id);                                                        \
 } while (0)
#define TAKE_TEXT(field, id)                                                                       \
 do {                                                                                              \
  ret->field = linnet_text(cli, id);                                                               \
  ret->has_##field = linnet_given(cli, id);                                                        \
 } while (0)

static void take_lists(struct linnet_cli *cli, struct daemon_settings *ret)
{
	struct linnet_value *v = &cli->values[OPT_EXTERNAL_IP_MAP];
	ret->external_ips = v->list;
	ret->nexternal_ips = v->nlist;
	ret->clean_external_ips = v->given && v->nlist == 0;
	v = &cli->values[OPT_EXTRA_IFACE_BLACKLIST];
	ret->iface_blacklist = v->list;
	ret->niface_blacklist = v->nlist;
	v = &cli->values[OPT_EXTRA_DNS_LABELS];
	ret->dns_labels = v->list;
	ret->ndns_labels = v->nlist;
	ret->clean_dns_labels = v->given && v->nlist == 0;
	/* A field of no bytes could not be told from an absent one (spec agent 1.2). */
	if (linnet_given(cli, OPT_DNS_RESOLVER_ADDRESS)) {
		const char *text = linnet_text(cli, OPT_DNS_RESOLVER_ADDRESS);
		ret->dns_address = slice_str(text[0] != '\0' ? text : "empty");
	}
}

int linnet_settings(struct linnet_cli *cli, struct daemon_settings *ret, struct ln_fail *f)
{
	int r = check_lists(cli, f);
	if (r == 0)
		r = check_texts(cli, f);
	if (r < 0)
		return r;
	*ret = (struct daemon_settings){ .management_url = linnet_text(cli, OPT_MANAGEMENT_URL),
					 .admin_url = linnet_text(cli, OPT_ADMIN_URL) };
	TAKE_TEXT(interface_name, OPT_INTERFACE_NAME);
	TAKE_NUMBER(wireguard_port, OPT_WIREGUARD_PORT);
	TAKE_NUMBER(mtu, OPT_MTU);
	TAKE_TEXT(preshared_key, OPT_PRESHARED_KEY);
	TAKE_BOOL(disable_auto_connect, OPT_DISABLE_AUTO_CONNECT);
	TAKE_BOOL(server_ssh_allowed, OPT_ALLOW_SERVER_SSH);
	TAKE_BOOL(rosenpass, OPT_ROSENPASS);
	TAKE_BOOL(rosenpass_permissive, OPT_ROSENPASS_PERMISSIVE);
	TAKE_BOOL(network_monitor, OPT_NETWORK_MONITOR);
	TAKE_BOOL(disable_client_routes, OPT_DISABLE_CLIENT_ROUTES);
	TAKE_BOOL(disable_server_routes, OPT_DISABLE_SERVER_ROUTES);
	TAKE_BOOL(disable_dns, OPT_DISABLE_DNS);
	TAKE_BOOL(disable_firewall, OPT_DISABLE_FIREWALL);
	TAKE_BOOL(block_lan_access, OPT_BLOCK_LAN_ACCESS);
	TAKE_BOOL(block_inbound, OPT_BLOCK_INBOUND);
	TAKE_BOOL(disable_ipv6, OPT_DISABLE_IPV6);
	take_lists(cli, ret);
	return 0;
}

int linnet_setup_key(struct linnet_cli *cli, const char **ret, struct ln_fail *f)
{
	const char *path = linnet_text(cli, OPT_SETUP_KEY_FILE);
	*ret = linnet_text(cli, OPT_SETUP_KEY);
	if ((*ret)[0] != '\0' || path[0] == '\0')
		return 0;
	char text[SETUP_KEY_MAX + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
	int err = n < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	if (err < 0)
		return ln_fail(f, err, "cannot read the setup key file %.100s: %s", path,
			       ln_strerror(err));
	if (n > SETUP_KEY_MAX)
		return ln_fail(f, LN_E_LIMIT, "%.100s is too long for a setup key", path);
	const char *from = text;
	while (n > 0 && isspace((unsigned char)from[n - 1]))
		n--;
	while (n > 0 && isspace((unsigned char)from[0])) {
		from++;
		n--;
	}
	*ret = arena_strndup(&cli->arena, from, (size_t)n);
	explicit_bzero(text, sizeof(text));
	return *ret != NULL ? 0 : ln_fail(f, LN_E_LIMIT, "the setup key is too long");
}
