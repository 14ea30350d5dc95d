/*
 * Runs a fuzz target over files and folders without libFuzzer, so that every compiler replays the
 * corpus. Besides each sample it feeds every prefix of it and each single-bit change, bounded.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SAMPLE_MAX (1u << 20)
#define MUTATE_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long runs;

/* Exactly sized heap copies, so that the address sanitizer sees the first byte behind. */
static void run_copy(const uint8_t *data, size_t n)
{
	uint8_t *copy = malloc(n != 0 ? n : 1);
	if (copy == NULL)
		abort();
	if (n != 0)
		memcpy(copy, data, n);
	(void)LLVMFuzzerTestOneInput(copy, n);
	free(copy);
	runs++;
}

static void run_sample(uint8_t *data, size_t n)
{
	run_copy(data, n);
	if (n > MUTATE_MAX)
		return;
	for (size_t i = 0; i < n; i++) {
		run_copy(data, i);
		data[i] ^= (uint8_t)(1u << (i % 8));
		run_copy(data, n);
		data[i] ^= (uint8_t)(1u << (i % 8));
	}
}

static int run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(SAMPLE_MAX);
	if (f == NULL || data == NULL) {
		perror(path);
		exit(1);
	}
	size_t n = fread(data, 1, SAMPLE_MAX, f);
	run_sample(data, n);
	free(data);
	fclose(f);
	return 1;
}

static int run_path(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0) {
		perror(path);
		exit(1);
	}
	if (!S_ISDIR(st.st_mode))
		return run_file(path);
	int files = 0;
	DIR *d = opendir(path);
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		char full[4096];
		if (e->d_name[0] == '.')
			continue;
		snprintf(full, sizeof(full), "%s/%s", path, e->d_name);
		files += run_path(full);
	}
	if (d != NULL)
		closedir(d);
	return files;
}

int main(int argc, char **argv)
{
	int files = 0;
	for (int i = 1; i < argc; i++)
		files += run_path(argv[i]);
	printf("replayed %d samples, %lu runs\n", files, runs);
	return files > 0 ? 0 : 1;
}
