/*
 * Asks a daemon that need not be one for its status, and takes events until there is nothing more: wire SOCKET
 * Prints the results of connecting, asking and of the last event, then how many descriptors were left open.
 */
#include "../../avpu-client/c/avpu.h"

#include <dirent.h>
#include <stdio.h>

static int open_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	while (folder && readdir(folder))
		count++;
	if (folder)
		closedir(folder);
	return count;
}

int main(int argc, char **argv)
{
	int connected, asked = 0, event = 0, before = open_descriptors();
	avpu_client *client = NULL;
	avpu_event ignored;
	avpu_status status;

	if (argc != 2)
		return 2;
	connected = avpu_connect(&client, argv[1], NULL);
	if (connected == AVPU_OK) {
		asked = avpu_read_status(client, &status);
		do
			event = avpu_next_event(client, &ignored, -1);
		while (event == AVPU_OK);
	}
	avpu_disconnect(client);
	printf("connect: %s, ask: %s, event: %s, left open: %d\n", avpu_error_text(connected), avpu_error_text(asked),
		avpu_error_text(event), open_descriptors() - before);
	return 0;
}
