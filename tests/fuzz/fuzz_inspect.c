/* SPDX-License-Identifier: MIT */
/*
 * fuzz_inspect: a capture file through sluice-inspect's parts. Whatever it
 * holds, the output is lines of seven fields of printable characters.
 */
#include <stdio.h>
#include <stdlib.h>

#include "userspace/capture.h"
#include "userspace/flight_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_lines(const char *text, size_t size)
{
	unsigned tabs = 0;

	require(size > 0 && text[size - 1] == '\n');
	for (size_t i = 0; i < size; i++) {
		if (text[i] == '\t') {
			tabs++;
		} else if (text[i] == '\n') {
			require(tabs == 6);
			tabs = 0;
		} else {
			require(text[i] > ' ' && text[i] < 0x7f);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct capture *capture;
	struct flight_list *list;
	struct packet packet;
	char error[512], *text;
	FILE *out, *in;
	size_t text_size;

	if (size == 0)
		return 0;
	in = fmemopen((void *)data, size, "rb");
	require(in);
	capture = capture_open_stream(in, error, sizeof(error));
	if (!capture)
		return 0;
	out = open_memstream(&text, &text_size);
	require(out);
	list = flight_list_new(out);
	require(list);
	while (capture_next(capture, &packet) == CAPTURE_UDP)
		require(flight_list_add(list, &packet) == 0);
	flight_list_end(list);
	flight_list_free(list);
	capture_close(capture);
	fclose(out);
	check_lines(text, text_size);
	free(text);
	return 0;
}
