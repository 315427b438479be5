/* SPDX-License-Identifier: MIT */
/* connection: see the header. One thread. ngtcp2 reads what comes from the network. */
#include <gnutls/crypto.h>
#include <inttypes.h>
#include <nghttp3/nghttp3.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "connection.h"
#include "http.h"

enum { DATAGRAM_MAX = 1452, PIECES_MAX = 16 };

struct connection {
	struct connection *next, **link; /* link: what points here */
	struct server *server;
	ngtcp2_conn *quic;
	gnutls_session_t tls;
	ngtcp2_crypto_conn_ref ref; /* how ngtcp2's crypto library finds quic from tls */
	struct http *http;          /* once the handshake is complete */
	ngtcp2_cid name;            /* the first CID it issued: names it in the log */
	uint64_t sent_bytes;        /* UDP payloads */
	int err;                    /* of ngtcp2: it is to end */
};

static void log_event(const struct connection *c, const char *event, const char *key, const char *value)
{
	server_log("%s connection=%s %s=%s", event, text_of_cid(&c->name), key, value);
}

/* --- what ngtcp2 calls ----------------------------------------------------------------------------------------- */

static ngtcp2_conn *conn_of_ref(ngtcp2_crypto_conn_ref *ref)
{
	const struct connection *c = ref->user_data;

	return c->quic;
}

static void log_quic(void *connection, const char *format, ...)
{
	char line[1024];
	va_list args;

	(void)connection;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	server_log("quic %s", line);
}

static void random_bytes(uint8_t *out, size_t len, const ngtcp2_rand_ctx *unused)
{
	(void)unused;
	if (gnutls_rnd(GNUTLS_RND_NONCE, out, len) < 0)
		abort();
}

static int get_new_connection_id(ngtcp2_conn *quic, ngtcp2_cid *cid, uint8_t *token, size_t len, void *connection)
{
	struct connection *c = connection;
	char hex[2 * NGTCP2_MAX_CIDLEN + 1];

	(void)quic;
	if (len != c->server->cids.len)
		return NGTCP2_ERR_CALLBACK_FAILURE;
	cid->datalen = len;
	cid_make(&c->server->cids, cid->data);
	if (server_reset_token(c->server, token, cid))
		return NGTCP2_ERR_CALLBACK_FAILURE;
	server_add_cid(c->server, cid, c);
	snprintf(hex, sizeof(hex), "%s", text_of_cid(cid));
	log_event(c, "issued", "cid", hex);
	return 0;
}

static int remove_connection_id(ngtcp2_conn *quic, const ngtcp2_cid *cid, void *connection)
{
	(void)quic;
	server_remove_cid(((struct connection *)connection)->server, cid);
	return 0;
}

static int path_validation(ngtcp2_conn *quic, uint32_t flags, const ngtcp2_path *path,
			   ngtcp2_path_validation_result result, void *connection)
{
	(void)quic;
	(void)flags;
	log_event(connection, result == NGTCP2_PATH_VALIDATION_RESULT_SUCCESS ? "validated" : "unvalidated", "from",
		  text_of_address(path->remote.addr));
	return 0;
}

static int handshake_completed(ngtcp2_conn *quic, void *connection)
{
	struct connection *c = connection;

	c->http = http_open(quic, c->server->documents);
	return c->http ? 0 : NGTCP2_ERR_CALLBACK_FAILURE;
}

static int checked(int result)
{
	return result < 0 ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int recv_stream_data(ngtcp2_conn *quic, uint32_t flags, int64_t stream, uint64_t offset, const uint8_t *data,
			    size_t len, void *connection, void *unused)
{
	struct connection *c = connection;

	(void)quic;
	(void)offset;
	(void)unused;
	return checked(http_received(c->http, stream, data, len, flags & NGTCP2_STREAM_DATA_FLAG_FIN));
}

static int acked_stream_data(ngtcp2_conn *quic, int64_t stream, uint64_t offset, uint64_t len, void *connection,
			     void *unused)
{
	struct connection *c = connection;

	(void)quic;
	(void)offset;
	(void)unused;
	return checked(http_acked(c->http, stream, len));
}

static int stream_close(ngtcp2_conn *quic, uint32_t flags, int64_t stream, uint64_t error, void *connection,
			void *unused)
{
	struct connection *c = connection;

	(void)quic;
	(void)unused;
	if (!(flags & NGTCP2_STREAM_CLOSE_FLAG_APP_ERROR_CODE_SET))
		error = NGHTTP3_H3_NO_ERROR;
	return checked(http_stream_closed(c->http, stream, error));
}

static int stream_reset(ngtcp2_conn *quic, int64_t stream, uint64_t size, uint64_t error, void *connection,
			void *unused)
{
	struct connection *c = connection;

	(void)quic;
	(void)size;
	(void)error;
	(void)unused;
	return checked(http_stream_reset(c->http, stream));
}

static int stream_stop_sending(ngtcp2_conn *quic, int64_t stream, uint64_t error, void *connection, void *unused)
{
	return stream_reset(quic, stream, 0, error, connection, unused);
}

static int extend_max_stream_data(ngtcp2_conn *quic, int64_t stream, uint64_t max, void *connection, void *unused)
{
	struct connection *c = connection;

	(void)quic;
	(void)max;
	(void)unused;
	return checked(http_unblocked(c->http, stream));
}

/* --- its life -------------------------------------------------------------------------------------------------- */

static int tls_open(struct connection *c)
{
	static const gnutls_datum_t h3 = { (unsigned char *)"h3", 2 };
	static const char priority[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:%DISABLE_TLS13_COMPAT_MODE";

	if (gnutls_init(&c->tls, GNUTLS_SERVER | GNUTLS_NO_AUTO_SEND_TICKET) < 0)
		return -1;
	c->ref = (ngtcp2_crypto_conn_ref){ conn_of_ref, c };
	gnutls_session_set_ptr(c->tls, &c->ref);
	return gnutls_priority_set_direct(c->tls, priority, NULL) < 0 ||
	       gnutls_credentials_set(c->tls, GNUTLS_CRD_CERTIFICATE, c->server->credentials) < 0 ||
	       gnutls_alpn_set_protocols(c->tls, &h3, 1, GNUTLS_ALPN_MANDATORY) < 0 ||
	       ngtcp2_crypto_gnutls_configure_server_session(c->tls) < 0 ? -1 : 0;
}

static int quic_open(struct connection *c, const ngtcp2_path *path, const ngtcp2_pkt_hd *initial)
{
	static const ngtcp2_callbacks callbacks = {
		.recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
		.recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
		.encrypt = ngtcp2_crypto_encrypt_cb,
		.decrypt = ngtcp2_crypto_decrypt_cb,
		.hp_mask = ngtcp2_crypto_hp_mask_cb,
		.update_key = ngtcp2_crypto_update_key_cb,
		.delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
		.delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
		.get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
		.version_negotiation = ngtcp2_crypto_version_negotiation_cb,
		.rand = random_bytes,
		.get_new_connection_id = get_new_connection_id,
		.remove_connection_id = remove_connection_id,
		.path_validation = path_validation,
		.handshake_completed = handshake_completed,
		.recv_stream_data = recv_stream_data,
		.acked_stream_data_offset = acked_stream_data,
		.stream_close = stream_close,
		.stream_reset = stream_reset,
		.stream_stop_sending = stream_stop_sending,
		.extend_max_stream_data = extend_max_stream_data,
	};
	ngtcp2_settings settings;
	ngtcp2_transport_params params;

	ngtcp2_settings_default(&settings);
	settings.initial_ts = now_ns();
	settings.log_printf = c->server->verbose ? log_quic : NULL;
	ngtcp2_transport_params_default(&params);
	params.original_dcid = initial->dcid;
	params.initial_max_stream_data_bidi_remote = 256 * 1024;
	params.initial_max_stream_data_uni = 256 * 1024;
	params.initial_max_data = 1024 * 1024;
	params.initial_max_streams_bidi = 100;
	params.initial_max_streams_uni = 3;
	params.max_idle_timeout = 30 * NGTCP2_SECONDS;
	params.active_connection_id_limit = 7;
	params.stateless_reset_token_present = 1;
	if (server_reset_token(c->server, params.stateless_reset_token, &c->name))
		return -1;
	if (ngtcp2_conn_server_new(&c->quic, &initial->scid, &c->name, path, initial->version, &callbacks, &settings,
				   &params, NULL, c))
		return -1;
	ngtcp2_conn_set_tls_native_handle(c->quic, c->tls);
	return 0;
}

static void forget_cids(struct connection *c)
{
	size_t n = ngtcp2_conn_get_num_scid(c->quic);
	ngtcp2_cid *cids = calloc(n, sizeof(*cids));

	if (!cids)
		abort();
	ngtcp2_conn_get_scid(c->quic, cids);
	for (size_t i = 0; i < n; i++)
		server_remove_cid(c->server, &cids[i]);
	free(cids);
	server_remove_cid(c->server, ngtcp2_conn_get_client_initial_dcid(c->quic));
}

static void connection_free(struct connection *c)
{
	if (c->link) {
		forget_cids(c);
		*c->link = c->next;
		if (c->next)
			c->next->link = c->link;
	}
	http_free(c->http);
	ngtcp2_conn_del(c->quic);
	if (c->tls)
		gnutls_deinit(c->tls);
	free(c);
}

struct connection *connection_open(struct server *server, const ngtcp2_path *path, const ngtcp2_pkt_hd *initial)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->server = server;
	c->name.datalen = server->cids.len;
	cid_make(&server->cids, c->name.data);
	if (tls_open(c) < 0 || quic_open(c, path, initial) < 0) {
		connection_free(c);
		return NULL;
	}
	c->next = server->connections;
	c->link = &server->connections;
	if (c->next)
		c->next->link = &c->next;
	server->connections = c;
	server_add_cid(server, &initial->dcid, c);
	server_add_cid(server, &c->name, c);
	log_event(c, "opened", "from", text_of_address(path->remote.addr));
	return c;
}

struct connection *connection_next(const struct connection *c)
{
	return c->next;
}

void connection_receive(struct connection *c, const ngtcp2_path *path, const uint8_t *datagram, size_t len)
{
	if (!c->err)
		c->err = ngtcp2_conn_read_pkt(c->quic, path, NULL, datagram, len, now_ns());
}

static void send_datagram(struct connection *c, const ngtcp2_path *path, const uint8_t *datagram, size_t len)
{
	c->sent_bytes += len;
	server_send(c->server, &path->remote, datagram, len);
}

/* What came of one call of ngtcp2_conn_writev_stream: 0, or an error that ends the connection. */
static int written(struct connection *c, int64_t stream, ngtcp2_ssize result, ngtcp2_ssize taken)
{
	if (result == NGTCP2_ERR_STREAM_DATA_BLOCKED)
		http_blocked(c->http, stream);
	else if (result == NGTCP2_ERR_STREAM_SHUT_WR)
		http_shut(c->http, stream);
	else if (result < 0 && result != NGTCP2_ERR_WRITE_MORE)
		return (int)result;
	else if (taken >= 0)
		return checked(http_sent(c->http, stream, (size_t)taken));
	return 0;
}

/* As many datagrams as congestion control and pacing let go now. */
static int send_all(struct connection *c)
{
	size_t quantum = ngtcp2_conn_get_send_quantum(c->quic);
	ngtcp2_tstamp now = now_ns();

	for (size_t sent = 0; sent < quantum;) {
		uint8_t datagram[DATAGRAM_MAX];
		ngtcp2_path_storage ps;
		ngtcp2_vec pieces[PIECES_MAX];
		ngtcp2_ssize result, taken = -1;
		uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_MORE;
		int64_t stream = -1;
		int n = 0, fin = 0, err;

		if (c->http && ngtcp2_conn_get_max_data_left(c->quic))
			n = http_next(c->http, &stream, &fin, pieces, PIECES_MAX);
		if (n < 0)
			return NGTCP2_ERR_CALLBACK_FAILURE;
		if (fin)
			flags |= NGTCP2_WRITE_STREAM_FLAG_FIN;
		ngtcp2_path_storage_zero(&ps);
		result = ngtcp2_conn_writev_stream(c->quic, &ps.path, NULL, datagram, sizeof(datagram), &taken, flags,
						   stream, pieces, (size_t)n, now);
		err = written(c, stream, result, taken);
		if (err)
			return err;
		if (!result)
			break;
		if (result > 0) {
			send_datagram(c, &ps.path, datagram, (size_t)result);
			sent += (size_t)result;
		}
	}
	ngtcp2_conn_update_pkt_tx_time(c->quic, now);
	return 0;
}

static void end(struct connection *c, int err)
{
	server_log("closed connection=%s sent=%" PRIu64 " reason=%s", text_of_cid(&c->name), c->sent_bytes,
		   ngtcp2_strerror(err));
	connection_free(c);
}

static void say_goodbye(struct connection *c, int err)
{
	uint8_t datagram[DATAGRAM_MAX];
	ngtcp2_connection_close_error reason;
	ngtcp2_path_storage ps;
	ngtcp2_ssize len;

	ngtcp2_connection_close_error_default(&reason);
	if (err)
		ngtcp2_connection_close_error_set_transport_error_liberr(&reason, err, NULL, 0);
	ngtcp2_path_storage_zero(&ps);
	len = ngtcp2_conn_write_connection_close(c->quic, &ps.path, NULL, datagram, sizeof(datagram), &reason,
						 now_ns());
	if (len > 0)
		send_datagram(c, &ps.path, datagram, (size_t)len);
}

ngtcp2_tstamp connection_run(struct connection *c)
{
	int err = c->err;

	if (!err)
		err = ngtcp2_conn_handle_expiry(c->quic, now_ns());
	if (!err)
		err = send_all(c);
	if (!err)
		return ngtcp2_conn_get_expiry(c->quic);
	if (err != NGTCP2_ERR_DRAINING && err != NGTCP2_ERR_DROP_CONN && err != NGTCP2_ERR_IDLE_CLOSE)
		say_goodbye(c, err);
	end(c, err);
	return 0;
}

void connection_close(struct connection *c)
{
	say_goodbye(c, 0);
	end(c, 0);
}
