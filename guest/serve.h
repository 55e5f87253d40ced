/* What an agent does from when its loop, its signals and its port are open. */
#ifndef BANGER_SERVE_H
#define BANGER_SERVE_H

_Noreturn void serve(void);

#endif
