/* Going down: everyone is asked, then killed, then the disks are put away and the power goes. */
#ifndef BANGER_SHUTDOWN_H
#define BANGER_SHUTDOWN_H

#include <stdbool.h>
#include <stdint.h>

enum shutdown_mode { SHUTDOWN_POWEROFF, SHUTDOWN_REBOOT, SHUTDOWN_NOW };

enum {
	SHUTDOWN_GRACE_MS = 10000,
	/* What systemd calls SIGRTMIN+4 and +5, in glibc's count; this libc starts one higher. */
	SIGNAL_POWEROFF = 34 + 4,
	SIGNAL_REBOOT = 34 + 5,
};

void shutdown_begin(enum shutdown_mode mode, uint64_t grace_ms);
/* Children were reaped; `none_left` once there are no more. */
void shutdown_reaped(bool none_left);
/* To be called after each round: goes on once the last answers are out. */
void shutdown_round(void);
/* At once, for a boot that failed. */
_Noreturn void shutdown_power_off(void);

#endif
