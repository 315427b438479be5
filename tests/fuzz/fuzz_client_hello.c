/* SPDX-License-Identifier: MIT */
/*
 * fuzz_client_hello: a ClientHello, whole and cut at every byte. A name is
 * made of allowed characters; more bytes never turn one name into another, nor
 * a refusal into a name.
 */
#include <stdlib.h>
#include <string.h>

#include "userspace/client_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_name(const char *name)
{
	size_t len = strlen(name);

	require(len > 0 && len <= HELLO_NAME_MAX);
	require(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[HELLO_NAME_MAX + 1], earlier[HELLO_NAME_MAX + 1] = "";
	bool refused = false;

	/* every cut of long inputs would only be slow */
	for (size_t len = size > 512 ? size - 512 : 0; len <= size; len++) {
		enum hello_verdict verdict = client_hello_name(data, len, name);

		require(verdict == HELLO_SNI || verdict == HELLO_NO_SNI || verdict == HELLO_INCOMPLETE ||
			verdict == HELLO_BAD_CLIENT_HELLO);
		require(!refused || verdict == HELLO_BAD_CLIENT_HELLO);
		refused = verdict == HELLO_BAD_CLIENT_HELLO;
		if (verdict == HELLO_SNI) {
			check_name(name);
			require(!*earlier || strcmp(name, earlier) == 0);
			strcpy(earlier, name);
		} else {
			require(!*earlier || refused);
		}
	}
	return 0;
}
