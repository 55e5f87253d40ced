#include "serve.h"

#include "canary.h"
#include "loop.h"
#include "session.h"
#include "shutdown.h"

_Noreturn void serve(void)
{
	for (;;) {
		loop_round();
		canary_round();
		session_round();
		shutdown_round();
	}
}
