/* The drawing of a laboratory with two sites. */
#include <stdio.h>
#include <string.h>

#include "src/cmd/linnet_lab.h"

#define COLUMN 36

/* One line: what stands in each of the two columns. */
static void line(struct str *dst, const char *left, const char *right)
{
	size_t n = strlen(left);
	str_addf(dst, "   %s", left);
	if (right[0] != '\0')
		str_addf(dst, "%*s%s", n < COLUMN ? (int)(COLUMN - n) : 1, "", right);
	str_addc(dst, '\n');
}

struct column { /* from the public segment down to the machine */
	char rows[6][64];
	size_t n;
};

static void router_rows(const struct linnet_lab_site *s, struct column *c)
{
	char outside[LINNET_LAB_ADDR_MAX];
	linnet_lab_outside(s, outside);
	if (s->nat->carrier != LINNET_LAB_OPEN) {
		snprintf(c->rows[c->n++], sizeof(c->rows[0]), "[carrier's NAT %s]", outside);
		snprintf(c->rows[c->n++], sizeof(c->rows[0]), "|");
		snprintf(c->rows[c->n++], sizeof(c->rows[0]), "[home router]");
	} else if (s->nat->home != LINNET_LAB_OPEN) {
		snprintf(c->rows[c->n++], sizeof(c->rows[0]), "[router %s]", outside);
	} else {
		return;
	}
	snprintf(c->rows[c->n++], sizeof(c->rows[0]), "|");
}

static void machine_row(const struct linnet_lab_site *s, char *dst, size_t size)
{
	char addr[LINNET_LAB_ADDR_MAX];
	linnet_lab_address(s, addr);
	snprintf(dst, size, "machine %s, %s", s->name, addr);
}

/* Both machines under one router: drawn once. */
static void draw_shared(const struct linnet_lab_site sites[2], struct str *dst)
{
	struct column c = { .n = 0 };
	char joint[2 * COLUMN];
	router_rows(&sites[0], &c);
	line(dst, "|", "");
	int n = snprintf(joint, sizeof(joint), "%s", c.rows[0]);
	memset(joint + n, '-', (size_t)(COLUMN - n));
	strcpy(joint + COLUMN, "+");
	line(dst, joint, "");
	line(dst, "|", "|");
	if (sites[0].nat->carrier != LINNET_LAB_OPEN) {
		line(dst, "[home router]", "[home router]");
		line(dst, "|", "|");
	}
}

static void draw_apart(const struct linnet_lab_site sites[2], struct str *dst)
{
	struct column c[2] = { { .n = 0 }, { .n = 0 } };
	router_rows(&sites[0], &c[0]);
	router_rows(&sites[1], &c[1]);
	line(dst, "|", "|");
	for (size_t i = 0; i < c[0].n || i < c[1].n; i++)
		line(dst, i < c[0].n ? c[0].rows[i] : "|", i < c[1].n ? c[1].rows[i] : "|");
}

void linnet_lab_draw(const struct linnet_lab_site sites[2], struct str *dst)
{
	char rows[2][64], addr[LINNET_LAB_ADDR_MAX];
	str_add(dst, "   server " LINNET_LAB_SERVER "\n   |\n"
		     "===+=== the internet: " LINNET_LAB_PUBLIC ".0/24 "
		     "==================================\n");
	if (sites[1].behind != NULL)
		draw_shared(sites, dst);
	else
		draw_apart(sites, dst);
	for (size_t i = 0; i < 2; i++)
		machine_row(&sites[i], rows[i], sizeof(rows[i]));
	line(dst, rows[0], rows[1]);
	line(dst, sites[0].nat->name, sites[1].nat->name);
	for (size_t i = 0; i < 2; i++) {
		linnet_lab_address6(&sites[i], addr);
		snprintf(rows[i], sizeof(rows[i]), "%s", addr);
	}
	if (rows[0][0] != '\0' || rows[1][0] != '\0')
		line(dst, rows[0], rows[1]);
}
