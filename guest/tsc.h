#ifndef BANGER_TSC_H
#define BANGER_TSC_H

/* The rate of the time stamp counter, 0 where there is none. Takes about a tenth of a second. */
unsigned long long tsc_khz(void);

#endif
