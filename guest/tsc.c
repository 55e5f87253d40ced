#include "tsc.h"

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)

enum { INTERVAL_MS = 50, SAMPLES = 7, AGREE_PPM = 50, BRACKETS = 16 };

struct moment {
	uint64_t ticks, ns;
};

static uint64_t ticks(void)
{
	return __builtin_ia32_rdtsc();
}

/* Both clocks at one moment: of several tries, the one that took least between two ticks. */
static struct moment moment(void)
{
	struct moment best = { 0, 0 };
	uint64_t shortest = UINT64_MAX;

	for (int i = 0; i < BRACKETS; i++) {
		struct timespec time;
		uint64_t before = ticks(), after;

		if (clock_gettime(CLOCK_MONOTONIC_RAW, &time) < 0)
			clock_gettime(CLOCK_MONOTONIC, &time);
		after = ticks();
		if (after - before >= shortest)
			continue;
		shortest = after - before;
		best.ticks = before + shortest / 2;
		best.ns = (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
	}
	return best;
}

static uint64_t measure_khz(void)
{
	struct timespec pause = { .tv_nsec = INTERVAL_MS * 1000000 };
	struct moment start = moment(), end;

	nanosleep(&pause, NULL);
	end = moment();
	return (uint64_t)((double)(end.ticks - start.ticks) * 1e6 / (double)(end.ns - start.ns) + 0.5);
}

static uint64_t median(uint64_t *samples, int count)
{
	for (int i = 1; i < count; i++) {
		for (int j = i; j > 0 && samples[j] < samples[j - 1]; j--) {
			uint64_t sample = samples[j];
			samples[j] = samples[j - 1];
			samples[j - 1] = sample;
		}
	}
	return samples[count / 2];
}

unsigned long long tsc_khz(void)
{
	uint64_t samples[SAMPLES];

	for (int i = 0; i < SAMPLES; i++) {
		samples[i] = measure_khz();
		/* Two in a row that agree will do; on a noisy machine the median of more. */
		if (i) {
			uint64_t a = samples[i - 1], b = samples[i];
			uint64_t apart = a > b ? a - b : b - a;

			if (apart * 1000000 <= b * AGREE_PPM)
				return (a + b) / 2;
		}
	}
	return median(samples, SAMPLES);
}

#else

unsigned long long tsc_khz(void)
{
	return 0;
}

#endif
