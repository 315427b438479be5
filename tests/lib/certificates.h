/* SPDX-License-Identifier: MIT */
/* certificates: a test's own, by openssl's command: NAME.pem and NAME.key in a directory. They last two days. */
#ifndef SLUICE_CERTIFICATES_H
#define SLUICE_CERTIFICATES_H

/* Runs a command that must succeed. */
void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

void certificates_ca(const char *dir, const char *name);

/* Signed by that CA. alt_names: e.g. "DNS:localhost,IP:127.0.0.1". */
void certificates_leaf(const char *dir, const char *ca, const char *name, const char *alt_names);

/*
 * "server" and "renewed" for localhost and 127.0.0.1, "stranger" for another name, and "client", by "ca"; by "other"
 * "impostor".
 */
void certificates_make(const char *dir);

#endif
