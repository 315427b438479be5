/* SPDX-License-Identifier: MIT */
/* http: see the header. One thread. Requests come from the network: a path stays below the directory of documents. */
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <inttypes.h>
#include <nghttp3/nghttp3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http.h"

_Static_assert(sizeof(ngtcp2_vec) == sizeof(nghttp3_vec), "pieces are handed from one to the other");

struct http {
	nghttp3_conn *h3;
	ngtcp2_conn *quic;
	int documents;
	struct request *requests;
};

struct request {
	struct request *next, **link; /* link: what points here */
	char path[256], method[8];
	gnutls_hash_hd_t upload; /* SHA-256 of the request's body */
	uint64_t upload_len;
	char upload_text[96]; /* 20 digits of the length, 64 of the sum */
	uint8_t *body; /* of the answer: upload_text, or a mapped file */
	size_t body_len;
	char length_text[24];
};

static struct request *request_new(struct http *http)
{
	struct request *request = calloc(1, sizeof(*request));

	if (!request)
		return NULL;
	if (gnutls_hash_init(&request->upload, GNUTLS_DIG_SHA256) < 0) {
		free(request);
		return NULL;
	}
	request->next = http->requests;
	request->link = &http->requests;
	if (request->next)
		request->next->link = &request->next;
	http->requests = request;
	return request;
}

static void request_free(struct request *request)
{
	*request->link = request->next;
	if (request->next)
		request->next->link = request->link;
	if (request->body && request->body != (uint8_t *)request->upload_text)
		munmap(request->body, request->body_len);
	gnutls_hash_deinit(request->upload, NULL);
	free(request);
}

static int begin_headers(nghttp3_conn *h3, int64_t stream, void *http, void *unused)
{
	struct request *request = request_new(http);

	(void)unused;
	return request ? nghttp3_conn_set_stream_user_data(h3, stream, request) : NGHTTP3_ERR_CALLBACK_FAILURE;
}

static int recv_header(nghttp3_conn *h3, int64_t stream, int32_t token, nghttp3_rcbuf *name, nghttp3_rcbuf *value,
		       uint8_t flags, void *http, void *stream_data)
{
	nghttp3_vec text = nghttp3_rcbuf_get_buf(value);
	struct request *request = stream_data;

	(void)h3;
	(void)stream;
	(void)name;
	(void)flags;
	(void)http;
	if (token == NGHTTP3_QPACK_TOKEN__PATH && text.len < sizeof(request->path))
		memcpy(request->path, text.base, text.len);
	if (token == NGHTTP3_QPACK_TOKEN__METHOD && text.len < sizeof(request->method))
		memcpy(request->method, text.base, text.len);
	return 0;
}

static int recv_data(nghttp3_conn *h3, int64_t stream, const uint8_t *data, size_t len, void *http_, void *stream_data)
{
	struct http *http = http_;
	struct request *request = stream_data;

	(void)h3;
	if (gnutls_hash(request->upload, data, len) < 0)
		return NGHTTP3_ERR_CALLBACK_FAILURE;
	request->upload_len += len;
	ngtcp2_conn_extend_max_stream_offset(http->quic, stream, len);
	ngtcp2_conn_extend_max_offset(http->quic, len);
	return 0;
}

/* The file that the path names, mapped: 0, or -1 if there is none. */
static int map_document(struct http *http, struct request *request)
{
	const char *name = request->path[0] == '/' && request->path[1] ? request->path + 1 : "index.html";
	struct stat st;
	int fd = -1, err = -1;

	if (!strstr(name, "..") && *name != '/')
		fd = openat(http->documents, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode)) {
		request->body_len = (size_t)st.st_size;
		request->body = st.st_size ? mmap(NULL, request->body_len, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
		if (request->body == MAP_FAILED)
			request->body = NULL;
		err = request->body || !st.st_size ? 0 : -1;
	}
	close(fd);
	return err;
}

static nghttp3_ssize read_body(nghttp3_conn *h3, int64_t stream, nghttp3_vec *pieces, size_t max_pieces,
			       uint32_t *flags, void *http, void *stream_data)
{
	struct request *request = stream_data;

	(void)h3;
	(void)stream;
	(void)max_pieces;
	(void)http;
	*flags |= NGHTTP3_DATA_FLAG_EOF;
	pieces[0] = (nghttp3_vec){ request->body, request->body_len };
	return request->body_len ? 1 : 0;
}

static void describe_upload(struct request *request)
{
	char *text = request->upload_text;
	int len = snprintf(text, sizeof(request->upload_text), "%" PRIu64 " ", request->upload_len);
	unsigned char sum[32];

	gnutls_hash_output(request->upload, sum);
	for (size_t i = 0; i < sizeof(sum); i++)
		len += snprintf(text + len, 3, "%02x", sum[i]);
	text[len++] = '\n';
	request->body = (uint8_t *)request->upload_text;
	request->body_len = (size_t)len;
}

static nghttp3_nv header(char *name, char *value)
{
	return (nghttp3_nv){ (uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), NGHTTP3_NV_FLAG_NONE };
}

static int end_stream(nghttp3_conn *h3, int64_t stream, void *http, void *stream_data)
{
	static const nghttp3_data_reader reader = { read_body };
	struct request *request = stream_data;
	nghttp3_nv headers[2];

	if (!strcmp(request->method, "POST")) {
		describe_upload(request);
	} else if (map_document(http, request) < 0) {
		headers[0] = header(":status", "404");
		return nghttp3_conn_submit_response(h3, stream, headers, 1, NULL);
	}
	snprintf(request->length_text, sizeof(request->length_text), "%zu", request->body_len);
	headers[0] = header(":status", "200");
	headers[1] = header("content-length", request->length_text);
	return nghttp3_conn_submit_response(h3, stream, headers, 2, &reader);
}

static int stream_close(nghttp3_conn *h3, int64_t stream, uint64_t error, void *http, void *stream_data)
{
	(void)h3;
	(void)stream;
	(void)error;
	(void)http;
	if (stream_data)
		request_free(stream_data);
	return 0;
}

static int bind_streams(struct http *http)
{
	int64_t control, encoder, decoder;

	return ngtcp2_conn_open_uni_stream(http->quic, &control, NULL) ||
	       ngtcp2_conn_open_uni_stream(http->quic, &encoder, NULL) ||
	       ngtcp2_conn_open_uni_stream(http->quic, &decoder, NULL) ||
	       nghttp3_conn_bind_control_stream(http->h3, control) ||
	       nghttp3_conn_bind_qpack_streams(http->h3, encoder, decoder) ? -1 : 0;
}

struct http *http_open(ngtcp2_conn *quic, int documents)
{
	static const nghttp3_callbacks callbacks = {
		.begin_headers = begin_headers,
		.recv_header = recv_header,
		.recv_data = recv_data,
		.end_stream = end_stream,
		.stream_close = stream_close,
	};
	struct http *http = calloc(1, sizeof(*http));
	nghttp3_settings settings;

	if (!http)
		return NULL;
	http->quic = quic;
	http->documents = documents;
	nghttp3_settings_default(&settings);
	if (nghttp3_conn_server_new(&http->h3, &callbacks, &settings, NULL, http) || bind_streams(http) < 0) {
		http_free(http);
		return NULL;
	}
	return http;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	nghttp3_conn_del(http->h3);
	while (http->requests) /* of streams that were open still: nobody reports their end */
		request_free(http->requests);
	free(http);
}

int http_received(struct http *http, int64_t stream, const uint8_t *data, size_t len, bool fin)
{
	nghttp3_ssize used = nghttp3_conn_read_stream(http->h3, stream, data, len, fin);

	if (used < 0)
		return -1;
	ngtcp2_conn_extend_max_stream_offset(http->quic, stream, (uint64_t)used);
	ngtcp2_conn_extend_max_offset(http->quic, (uint64_t)used);
	return 0;
}

int http_acked(struct http *http, int64_t stream, uint64_t len)
{
	return nghttp3_conn_add_ack_offset(http->h3, stream, len) ? -1 : 0;
}

int http_stream_closed(struct http *http, int64_t stream, uint64_t error)
{
	int err = nghttp3_conn_close_stream(http->h3, stream, error);

	if (!ngtcp2_is_bidi_stream(stream))
		return 0;
	ngtcp2_conn_extend_max_streams_bidi(http->quic, 1);
	return err && err != NGHTTP3_ERR_STREAM_NOT_FOUND ? -1 : 0;
}

int http_stream_reset(struct http *http, int64_t stream)
{
	return nghttp3_conn_shutdown_stream_read(http->h3, stream) ? -1 : 0;
}

int http_next(struct http *http, int64_t *stream, int *fin, ngtcp2_vec *pieces, size_t max_pieces)
{
	nghttp3_ssize n = nghttp3_conn_writev_stream(http->h3, stream, fin, (nghttp3_vec *)pieces, max_pieces);

	return n < 0 ? -1 : (int)n;
}

int http_sent(struct http *http, int64_t stream, size_t len)
{
	return nghttp3_conn_add_write_offset(http->h3, stream, len) ? -1 : 0;
}

void http_blocked(struct http *http, int64_t stream)
{
	nghttp3_conn_block_stream(http->h3, stream);
}

void http_shut(struct http *http, int64_t stream)
{
	nghttp3_conn_shutdown_stream_write(http->h3, stream);
}

int http_unblocked(struct http *http, int64_t stream)
{
	return nghttp3_conn_unblock_stream(http->h3, stream) ? -1 : 0;
}
