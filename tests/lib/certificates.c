/* SPDX-License-Identifier: MIT */
/* certificates: see certificates.h. */
#include "tests/lib/certificates.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NEW_KEY "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void shell(const char *format, ...)
{
	char command[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command) == 0)
		return;
	fprintf(stderr, "certificates: failed: %s\n", command);
	abort();
}

void certificates_make(const char *dir)
{
	static const struct {
		const char *name, *ca, *names;
	} leaves[] = {
		{ "server", "ca", "DNS:localhost,IP:127.0.0.1" },
		{ "renewed", "ca", "DNS:localhost,IP:127.0.0.1" },
		{ "stranger", "ca", "DNS:elsewhere.test" },
		{ "client", "ca", "DNS:client.test" },
		{ "impostor", "other", "DNS:client.test" },
	};

	shell("cd %s && for ca in ca other; do openssl req -x509 " NEW_KEY " -subj /CN=$ca -keyout $ca.key "
	      "-out $ca.pem 2>/dev/null || exit 1; done", dir);
	for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++)
		shell("cd %s && name=%s ca=%s && openssl req -new " NEW_KEY " -subj /CN=$name -keyout $name.key "
		      "-out $name.csr 2>/dev/null && echo 'subjectAltName=%s' >$name.ext && openssl x509 -req "
		      "-in $name.csr -CA $ca.pem -CAkey $ca.key -set_serial %zu -days 2 -extfile $name.ext "
		      "-out $name.pem 2>/dev/null", dir, leaves[i].name, leaves[i].ca, leaves[i].names, i + 1);
}
