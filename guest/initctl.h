/* The pipe by which programs such as reboot, poweroff and telinit talk to an init that is not systemd. */
#ifndef BANGER_INITCTL_H
#define BANGER_INITCTL_H

/* While the agent is process 1. Without the pipe, those programs fail; nothing else does. */
void initctl_open(void);
/* For an init of the image's, which makes its own. */
void initctl_close(void);

#endif
