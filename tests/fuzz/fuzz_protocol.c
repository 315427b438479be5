/* SPDX-License-Identifier: MIT */
/* fuzz_protocol: any bytes as a packet of the control protocol. What is taken must be what encodes to the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "control/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[PROTOCOL_MESSAGE_MAX];
	struct protocol_message message;

	if (protocol_decode(data, size, &message) < 0)
		return 0;
	if (memchr(message.text, '\0', sizeof(message.text)) == NULL)
		abort();
	if (protocol_encode(&message, bytes) != (int)size || memcmp(bytes, data, size) != 0)
		abort();
	return 0;
}
