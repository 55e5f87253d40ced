/* What the kernel runs when it wants a module: the agent's program under another name. */
#ifndef BANGER_MODPROBE_H
#define BANGER_MODPROBE_H

#define MODPROBE_PATH "/dev/.banger-modprobe"

/* Puts the program where the kernel finds it in any image, and tells the kernel. */
void modprobe_install(void);
/* The program's main: `-q -- NAME`. Loads the modules of that name or alias with all that they need,
 * from the disk of modules and nowhere else. An image's own modprobe goes first. */
int modprobe_main(char **argv);

#endif
