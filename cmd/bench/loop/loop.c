/* Runs "sh -c true" N times, SLOTS at a time: the bare cost of the processes. */
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char **environ;

static void start(void)
{
	char *argv[] = { "sh", "-c", "true", NULL };
	pid_t pid;

	if (posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) != 0)
		exit(1);
}

int main(int argc, char **argv)
{
	int n, slots, started = 0, status;

	if (argc != 3)
		return 2;
	n = atoi(argv[1]);
	slots = atoi(argv[2]);
	while (started < slots && started < n) {
		start();
		started++;
	}
	while (wait(&status) > 0) {
		if (status != 0)
			return 1;
		if (started < n) {
			start();
			started++;
		}
	}
	return 0;
}
