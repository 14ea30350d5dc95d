/*
 * Facts management wants to know (spec agent 2.5): uname, os-release, DMI, and simple checks for
 * clouds and containers. Nothing here fails; what is not known stays empty.
 */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "src/plat/linux/lx_plat.h"

#define FILE_MAX 8192

static bool read_text(const char *path, char *dst, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, dst, size - 1);
	close(fd);
	dst[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* Printable text without the spaces around it; the rest of the program sends it in protobuf. */
static void copy_clean(char *dst, size_t size, const char *src, size_t n)
{
	while (n > 0 && isspace((unsigned char)src[0])) {
		src++;
		n--;
	}
	while (n > 0 && isspace((unsigned char)src[n - 1]))
		n--;
	size_t k = 0;
	for (size_t i = 0; i < n && k + 1 < size; i++)
		if ((unsigned char)src[i] >= 0x20 && (unsigned char)src[i] < 0x7f)
			dst[k++] = src[i];
	dst[k] = '\0';
}

/* One value of an os-release file (os-release(5)): KEY=value, perhaps quoted. */
static void release_value(const char *text, const char *key, char *dst, size_t size)
{
	size_t n = strlen(key);
	for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, n) != 0 || line[n] != '=')
			continue;
		const char *v = line + n + 1;
		size_t len = strcspn(v, "\n");
		if (len >= 2 && (v[0] == '"' || v[0] == '\'') && v[len - 1] == v[0]) {
			v++;
			len -= 2;
		}
		copy_clean(dst, size, v, len);
		return;
	}
}

static void read_release(struct plat_sysinfo *ret)
{
	char text[FILE_MAX];
	if (!read_text("/etc/os-release", text, sizeof(text)) &&
	    !read_text("/usr/lib/os-release", text, sizeof(text)))
		return;
	release_value(text, "NAME", ret->os, sizeof(ret->os));
	release_value(text, "VERSION_ID", ret->os_version, sizeof(ret->os_version));
}

static void read_dmi(const char *name, char *dst, size_t size)
{
	char path[96], text[256];
	snprintf(path, sizeof(path), "/sys/class/dmi/id/%s", name);
	if (read_text(path, text, sizeof(text)))
		copy_clean(dst, size, text, strlen(text));
}

/* The vendor's own words in DMI; no metadata server is asked. */
static const char *cloud_of(const char *vendor, const char *product, const char *asset)
{
	static const struct {
		const char *vendor, *product, *asset, *name;
	} rows[] = {
		{ "Amazon", "", "", "AWS" },
		{ "Google", "Google Compute Engine", "", "GCP" },
		{ "Microsoft Corporation", "Virtual Machine", "7783-7084-3265-9085-8269-3286-77",
		  "Azure" },
		{ "DigitalOcean", "", "", "DigitalOcean" },
		{ "Alibaba", "", "", "Alibaba Cloud" },
		{ "Vultr", "", "", "Vultr" },
		{ "Hetzner", "", "", "Hetzner" },
		{ "", "", "OracleCloud.com", "Oracle Cloud" },
	};

	for (size_t i = 0; i < LN_COUNT(rows); i++)
		if (strncmp(vendor, rows[i].vendor, strlen(rows[i].vendor)) == 0 &&
		    strncmp(product, rows[i].product, strlen(rows[i].product)) == 0 &&
		    strncmp(asset, rows[i].asset, strlen(rows[i].asset)) == 0)
			return rows[i].name;
	return "";
}

static const char *environment_of(void)
{
	char text[FILE_MAX];
	if (access("/var/run/secrets/kubernetes.io", F_OK) == 0)
		return "Kubernetes";
	if (access("/.dockerenv", F_OK) == 0)
		return "Docker";
	if (access("/run/.containerenv", F_OK) == 0)
		return "Podman";
	if (read_text("/run/systemd/container", text, sizeof(text)) && strncmp(text, "lxc", 3) == 0)
		return "LXC";
	return "";
}

void plat_sysinfo(struct plat *p, struct plat_sysinfo *ret)
{
	(void)p;
	*ret = (struct plat_sysinfo){ 0 };
	struct utsname u;
	if (uname(&u) == 0) {
		copy_clean(ret->hostname, sizeof(ret->hostname), u.nodename, strlen(u.nodename));
		copy_clean(ret->kernel, sizeof(ret->kernel), u.sysname, strlen(u.sysname));
		copy_clean(ret->kernel_version, sizeof(ret->kernel_version), u.release,
			   strlen(u.release));
		copy_clean(ret->platform, sizeof(ret->platform), u.machine, strlen(u.machine));
	}
	read_release(ret);
	read_dmi("product_serial", ret->serial, sizeof(ret->serial));
	read_dmi("product_name", ret->product, sizeof(ret->product));
	read_dmi("sys_vendor", ret->manufacturer, sizeof(ret->manufacturer));
	char asset[128] = "";
	read_dmi("chassis_asset_tag", asset, sizeof(asset));
	snprintf(ret->cloud, sizeof(ret->cloud), "%s",
		 cloud_of(ret->manufacturer, ret->product, asset));
	snprintf(ret->environment, sizeof(ret->environment), "%s", environment_of());
}
