/* The agent's built-ins as a program of this machine: applets NAME ARGUMENT... */

#include "applet.h"

int main(int argc, char **argv)
{
	return argc < 2 ? 2 : applet_run(argv[1], argc - 2, argv + 2);
}
