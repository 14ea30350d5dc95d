#include "src/obs/obs_metrics.h"

#include <inttypes.h>

static const struct {
	ln_time bound;
	const char *text;
} buckets[OBS_HISTOGRAM_BUCKETS] = {
	{ 100 * LN_USEC, "0.1" }, { 500 * LN_USEC, "0.5" }, { LN_MSEC, "1" },
	{ 5 * LN_MSEC, "5" },     { 10 * LN_MSEC, "10" },   { 50 * LN_MSEC, "50" },
	{ 100 * LN_MSEC, "100" }, { 500 * LN_MSEC, "500" }, { LN_SEC, "1000" },
	{ 5 * LN_SEC, "5000" },   { 10 * LN_SEC, "10000" },
};

void obs_histogram_add(struct obs_histogram *h, ln_time t)
{
	size_t i = 0;
	while (i < OBS_HISTOGRAM_BUCKETS && t > buckets[i].bound)
		i++;
	h->buckets[i]++;
	h->count++;
	h->sum += t;
}

void obs_metrics_head(struct str *dst, const char *name, const char *kind, const char *help)
{
	str_addf(dst, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

void obs_metrics_value(struct str *dst, const char *name, const char *labels, uint64_t v)
{
	if (labels != NULL)
		str_addf(dst, "%s{%s} %" PRIu64 "\n", name, labels, v);
	else
		str_addf(dst, "%s %" PRIu64 "\n", name, v);
}

void obs_metrics_one(struct str *dst, const char *name, const char *kind, const char *help,
		     uint64_t v)
{
	obs_metrics_head(dst, name, kind, help);
	obs_metrics_value(dst, name, NULL, v);
}

void obs_metrics_histogram(struct str *dst, const char *name, const char *help,
			   const struct obs_histogram *h)
{
	uint64_t sum = 0;
	obs_metrics_head(dst, name, "histogram", help);
	for (size_t i = 0; i < OBS_HISTOGRAM_BUCKETS; i++) {
		sum += h->buckets[i];
		str_addf(dst, "%s_bucket{le=\"%s\"} %" PRIu64 "\n", name, buckets[i].text, sum);
	}
	str_addf(dst, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, h->count);
	str_addf(dst, "%s_sum %.6f\n", name, (double)h->sum / (double)LN_MSEC);
	str_addf(dst, "%s_count %" PRIu64 "\n", name, h->count);
}
