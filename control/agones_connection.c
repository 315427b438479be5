/* SPDX-License-Identifier: MIT */
/* agones_connection: see agones_connection.h. */
#include "control/agones_connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <curl/curl.h>

#include "control/printable.h"

enum { IDLE_S = 60 };                  /* an idle connection is not used again after so long: load balancers forget */

_Static_assert(CURL_ERROR_SIZE <= AGONES_ERROR_BYTES, "libcurl writes its reason to `error`");

/* --- files --------------------------------------------------------------------------------------- */

static void stamp_read(const char *path, struct agones_file_stamp *stamp)
{
	struct stat status;

	memset(stamp, 0, sizeof(*stamp));
	if (!path[0] || stat(path, &status))
		return;
	stamp->device = status.st_dev;
	stamp->inode = status.st_ino;
	stamp->size = (uint64_t)status.st_size;
	stamp->modified = status.st_mtim;
}

/* Taken before the files are read: what changes in between is seen the next time. */
static void stamps_read(const struct config_agones *config, struct agones_file_stamp stamps[static AGONES_FILES])
{
	stamp_read(config->allocator_ca_cert, &stamps[0]);
	stamp_read(config->allocator_client_cert, &stamps[1]);
	stamp_read(config->allocator_client_key, &stamps[2]);
}

/* --- libcurl ------------------------------------------------------------------------------------- */

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
	struct agones_connection *connection = context;

	(void)size; /* 1 */
	if (count > AGONES_REPLY_BYTES_MAX - connection->reply_len)
		return 0;
	memcpy(connection->reply + connection->reply_len, bytes, count);
	connection->reply_len += count;
	return count;
}

/* libcurl keeps them all in memory. */
static size_t on_header(char *bytes, size_t size, size_t count, void *context)
{
	struct agones_connection *connection = context;

	(void)bytes;
	(void)size;
	connection->header_len += count;
	return connection->header_len > AGONES_REPLY_BYTES_MAX ? 0 : count;
}

/* Called at least once a second. */
static int on_progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	struct agones_connection *connection = context;

	(void)down_total;
	(void)down;
	(void)up_total;
	(void)up;
	return atomic_load(connection->stopping);
}

static CURLcode set_tls(CURL *easy, const struct config_agones *config)
{
	CURLcode code = curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);

	if (config->allocator_ca_cert[0])
		code |= curl_easy_setopt(easy, CURLOPT_CAINFO, config->allocator_ca_cert);
	if (config->allocator_client_cert[0]) {
		code |= curl_easy_setopt(easy, CURLOPT_SSLCERT, config->allocator_client_cert);
		code |= curl_easy_setopt(easy, CURLOPT_SSLKEY, config->allocator_client_key);
	}
	if (config->insecure_skip_verify) {
		code |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		code |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	return code;
}

static CURLcode set_limits(CURL *easy, struct agones_connection *connection)
{
	CURLcode code = curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);

	/* Else a name look-up that hangs would be waited for beyond the time limit. */
	code |= curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	code |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	code |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, connection);
	code |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	code |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, connection);
	code |= curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	code |= curl_easy_setopt(easy, CURLOPT_XFERINFODATA, connection);
	code |= curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
	code |= curl_easy_setopt(easy, CURLOPT_MAXCONNECTS, 1L);
	code |= curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)IDLE_S);
	code |= curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	return code;
}

static CURL *easy_new(struct agones_connection *connection)
{
	const struct config_agones *config = connection->config;
	CURL *easy = curl_easy_init();
	char url[CONFIG_FQDN_MAX + 64];
	CURLcode code;

	if (!easy)
		return NULL;
	snprintf(url, sizeof(url), "https://%s/gameserverallocation", config->allocator_host);
	code = curl_easy_setopt(easy, CURLOPT_URL, url);
	code |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
	code |= curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* the environment decides nothing here */
	code |= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	code |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, connection->headers);
	code |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, connection->error);
	code |= set_tls(easy, config);
	code |= set_limits(easy, connection);
	if (code) { /* each is one that this libcurl has: only memory can lack */
		curl_easy_cleanup(easy);
		return NULL;
	}
	return easy;
}

/* Files that changed make all anew: libcurl caches what it read. False: no memory. */
static bool refresh(struct agones_connection *connection)
{
	struct agones_file_stamp stamps[AGONES_FILES];

	stamps_read(connection->config, stamps);
	if (connection->easy && memcmp(stamps, connection->stamps, sizeof(stamps)) == 0)
		return true;
	curl_easy_cleanup(connection->easy);
	memcpy(connection->stamps, stamps, sizeof(stamps));
	connection->easy = easy_new(connection);
	return connection->easy;
}

struct agones_connection *agones_connection_new(const struct config_agones *config, const atomic_bool *stopping)
{
	struct agones_connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return NULL;
	connection->config = config;
	connection->stopping = stopping;
	curl_global_init(CURL_GLOBAL_DEFAULT); /* counted: each has its cleanup */
	connection->headers = curl_slist_append(NULL, "Content-Type: application/json");
	connection->reply = malloc(AGONES_REPLY_BYTES_MAX);
	if (!connection->headers || !connection->reply) {
		agones_connection_free(connection);
		return NULL;
	}
	return connection;
}

void agones_connection_free(struct agones_connection *connection)
{
	if (!connection)
		return;
	curl_easy_cleanup(connection->easy);
	curl_slist_free_all(connection->headers);
	curl_global_cleanup();
	free(connection->reply);
	free(connection);
}

/* What libcurl said, as an errno; `error` is made to say it too. */
static long failed(struct agones_connection *connection, CURLcode code)
{
	const char *said = connection->error[0] ? connection->error : curl_easy_strerror(code);
	char reason[AGONES_ERROR_BYTES];

	if (code == CURLE_WRITE_ERROR)
		snprintf(reason, sizeof(reason), "reply of more than %d bytes", AGONES_REPLY_BYTES_MAX);
	else if (code == CURLE_ABORTED_BY_CALLBACK)
		snprintf(reason, sizeof(reason), "stopping");
	else
		snprintf(reason, sizeof(reason), "%s", said);
	printable_copy(connection->error, sizeof(connection->error), reason);
	if (code == CURLE_WRITE_ERROR)
		return -EMSGSIZE;
	return code == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : -EIO;
}

long agones_connection_post(struct agones_connection *connection, const char *request, long limit_ms, unsigned *opened)
{
	long status = 0, connects = 0;
	CURLcode code;

	connection->error[0] = '\0';
	connection->reply_len = 0;
	connection->header_len = 0;
	*opened = 0;
	if (!refresh(connection)) {
		snprintf(connection->error, sizeof(connection->error), "no memory");
		return -EIO;
	}
	curl_easy_setopt(connection->easy, CURLOPT_TIMEOUT_MS, limit_ms > 0 ? limit_ms : 1L); /* 0: no limit */
	curl_easy_setopt(connection->easy, CURLOPT_POSTFIELDS, request); /* read before the call returns */
	code = curl_easy_perform(connection->easy);
	curl_easy_setopt(connection->easy, CURLOPT_POSTFIELDS, NULL);
	curl_easy_getinfo(connection->easy, CURLINFO_NUM_CONNECTS, &connects);
	*opened = (unsigned)connects;
	if (code)
		return failed(connection, code);
	curl_easy_getinfo(connection->easy, CURLINFO_RESPONSE_CODE, &status);
	return status > 0 ? status : failed(connection, CURLE_WEIRD_SERVER_REPLY);
}
