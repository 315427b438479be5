/* SPDX-License-Identifier: MIT */
/* certificates: see certificates.h. */
#include "tests/lib/certificates.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NEW_KEY "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"

void shell(const char *format, ...)
{
	char command[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command) == 0)
		return;
	fprintf(stderr, "failed: %s\n", command);
	abort();
}

void certificates_ca(const char *dir, const char *name)
{
	shell("cd %s && openssl req -x509 " NEW_KEY " -subj /CN=%s -keyout %s.key -out %s.pem 2>/dev/null", dir, name,
	      name, name);
}

void certificates_leaf(const char *dir, const char *ca, const char *name, const char *alt_names)
{
	static unsigned serial;

	shell("cd %s && openssl req -new " NEW_KEY " -subj /CN=%s -keyout %s.key -out %s.csr 2>/dev/null && "
	      "echo 'subjectAltName=%s' >%s.ext && openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s.key "
	      "-set_serial %u -days 2 -extfile %s.ext -out %s.pem 2>/dev/null", dir, name, name, name, alt_names, name,
	      name, ca, ca, ++serial, name, name);
}

void certificates_make(const char *dir)
{
	certificates_ca(dir, "ca");
	certificates_ca(dir, "other");
	certificates_leaf(dir, "ca", "server", "DNS:localhost,IP:127.0.0.1");
	certificates_leaf(dir, "ca", "stranger", "DNS:elsewhere.test");
	certificates_leaf(dir, "ca", "client", "DNS:client.test");
	certificates_leaf(dir, "ca", "renewed", "DNS:localhost,IP:127.0.0.1");
	certificates_leaf(dir, "other", "impostor", "DNS:client.test");
}
