#pragma once
/*
 * Metrics as text (Prometheus exposition format 0.0.4). Counters live in plain integers of their
 * owners; these functions only write them down. Histograms are of durations, in milliseconds.
 */
#include <stdint.h>

#include "lib/base/str.h"
#include "lib/base/time.h"

#define OBS_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define OBS_HISTOGRAM_BUCKETS 11

/* Upper bounds 0.1 0.5 1 5 10 50 100 500 1000 5000 10000 ms, then everything. */
struct obs_histogram {
	uint64_t buckets[OBS_HISTOGRAM_BUCKETS + 1];
	uint64_t count;
	ln_time sum;
};

void obs_histogram_add(struct obs_histogram *h, ln_time t);

/* The lines before the values of a name; kind is counter, gauge or histogram. */
void obs_metrics_head(struct str *dst, const char *name, const char *kind, const char *help);
/* One value; labels like `transport="ws"`, or null. */
void obs_metrics_value(struct str *dst, const char *name, const char *labels, uint64_t v);
/* Head and only value of a name. */
void obs_metrics_one(struct str *dst, const char *name, const char *kind, const char *help,
		     uint64_t v);
void obs_metrics_histogram(struct str *dst, const char *name, const char *help,
			   const struct obs_histogram *h);
