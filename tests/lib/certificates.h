/* SPDX-License-Identifier: MIT */
/* certificates: made by openssl(1) for a test, NAME.pem and NAME.key in a directory. */
#ifndef SLUICE_CERTIFICATES_H
#define SLUICE_CERTIFICATES_H

/*
 * Authorities "ca" and "other". ca signs "server" and "renewed" for localhost
 * and 127.0.0.1, "stranger" for another name, and "client"; other signs
 * "impostor". Aborts if it cannot.
 */
void certificates_make(const char *dir);

#endif
