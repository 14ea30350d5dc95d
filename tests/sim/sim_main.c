/*
 * Runs scenarios under many seeds:  sim [--seeds N] [--first SEED] [--keep FILE] [SCENARIO ...]
 * Each failure is printed with its seed and appended to FILE; `sim --seeds 1 --first SEED SCENARIO`
 * repeats it exactly.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_scenario.h"

#define DEFAULT_SEEDS 200

struct options {
	unsigned long seeds;
	unsigned long first;
	const char *keep;
	char **names;
};

static bool wanted(const struct options *o, const char *name)
{
	if (o->names[0] == NULL)
		return true;
	for (char **n = o->names; *n != NULL; n++)
		if (strcmp(*n, name) == 0)
			return true;
	return false;
}

static void keep(const struct options *o, const char *name, unsigned long seed, const char *why)
{
	FILE *f = o->keep != NULL ? fopen(o->keep, "a") : NULL;
	printf("FAILED %s --first %lu: %s\n", name, seed, why);
	if (f == NULL)
		return;
	fprintf(f, "%s --seeds 1 --first %lu: %s\n", name, seed, why);
	fclose(f);
}

static unsigned long run(const struct options *o, const struct sim_scenario *s)
{
	unsigned long failed = 0;
	unsigned long seeds = s->seeds != 0 && s->seeds < o->seeds ? s->seeds : o->seeds;
	struct sim_result total = { .why = "" };
	for (unsigned long i = 0; i < seeds; i++) {
		struct sim_result r = { .why = "" };
		s->run(o->first + i, &r);
		total.checks += r.checks;
		total.slowest = LN_MAX(total.slowest, r.slowest);
		total.busiest = LN_MAX(total.busiest, r.busiest);
		if (r.why[0] == '\0')
			continue;
		failed++;
		keep(o, s->name, o->first + i, r.why);
	}
	printf("%-12s %lu seeds, %lu failed; %lu statements, slowest connection %.2f s, "
	       "busiest second %u checks to one peer\n",
	       s->name, seeds, failed, total.checks, (double)total.slowest / (double)LN_SEC,
	       total.busiest);
	return failed;
}

int main(int argc, char **argv)
{
	struct options o = { .seeds = DEFAULT_SEEDS, .first = 1 };
	int at = 1;
	for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
		if (strcmp(argv[at], "--seeds") == 0)
			o.seeds = strtoul(argv[at + 1], NULL, 10);
		else if (strcmp(argv[at], "--first") == 0)
			o.first = strtoul(argv[at + 1], NULL, 10);
		else if (strcmp(argv[at], "--keep") == 0)
			o.keep = argv[at + 1];
		else
			break;
	}
	if (at < argc && argv[at][0] == '-') {
		fprintf(stderr,
			"usage: sim [--seeds N] [--first SEED] [--keep FILE] [SCENARIO...]\n");
		return 2;
	}
	o.names = argv + at;
	unsigned long failed = 0;
	for (const struct sim_scenario *s = sim_scenarios; s->name != NULL; s++)
		if (wanted(&o, s->name))
			failed += run(&o, s);
	return failed != 0;
}
