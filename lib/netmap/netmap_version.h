#pragma once
/*
 * Agent versions as the feature gates read them (spec management-protocol trap 16): "0.70.0", an
 * optional "v" in front, a suffix after '-' or '+' cut off. Development builds ("development",
 * "dev-...", "ci-...") are newer than every number. Empty and unreadable text is older than every
 * number.
 */
#include <stdbool.h>

struct netmap_version {
	int kind;        /* -1 none or unreadable, 0 a number, 1 development */
	unsigned num[3]; /* kind 0 */
	bool prerelease; /* a suffix was cut off */
};

struct netmap_version netmap_version_parse(const char *text);
/* -1, 0, 1. */
int netmap_version_cmp(const char *a, const char *b);
/* At least `min`, or a development build. */
bool netmap_version_since(const char *text, const char *min);
