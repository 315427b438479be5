/* SPDX-License-Identifier: MIT */
/*
 * allocation: see allocation.h. One lock; workers leave it to ask and to
 * answer. A key's way: queued, asking, answered (remembered), gone.
 */
#include "control/allocation.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "bpf/table.h"
#include "control/clock.h"
#include "control/siphash_text.h"
#include "userspace/log.h"
#include "userspace/source_limit.h"

enum {
	BUCKETS = 1 << 16,             /* a power of two */
	FLEET_BYTES = 64,
	SERVER_KNOWN_S = 10,           /* as long as a client may repeat its Initial; a new attempt has a new port */
	FAILURE_KNOWN_S = 1,
	RECHECK_MS = 100,              /* how often keys that no worker may take yet are looked at */
};

enum state { QUEUED, ASKING, ANSWERED };

struct key {
	struct key *in_bucket, *next;  /* next: of the list it is in */
	uint64_t hash, fleet_hash;
	struct config_address client;
	char fqdn[CONFIG_FQDN_MAX + 1];
	char fleet[FLEET_BYTES];
	enum state state;
	uint64_t queued_ns, forget_ns;
	struct waiter *waiters;        /* none once it is answered */
	enum agones_verdict verdict;   /* ANSWERED */
	struct config_address server;
};

struct waiter {
	struct waiter *in_bucket, *next;
	struct key *key;
	uint64_t id;
};

struct list {
	struct key *first, *last;
};

struct allocation {
	struct allocation_options options;
	uint64_t patience_ns;
	pthread_mutex_t lock;          /* of all below */
	pthread_cond_t queued;         /* a key, or stopping */
	bool stopping;
	struct siphash_key hash_key;
	struct key *keys[BUCKETS];
	struct waiter *waiters[BUCKETS]; /* by id and key */
	struct list queue;
	struct list servers, failures; /* remembered; each in the order in which they are forgotten */
	struct source_limit clients;
	uint64_t interval_ns, next_ns; /* the overall rate, by the generic cell rate algorithm, as source_limit */
	unsigned worker_count;
	pthread_t *workers;
	struct key **asking;           /* of each worker, or NULL */
	struct allocation_stats stats;
};

/* --- rates --------------------------------------------------------------------------------------- */

static bool overall_take(struct allocation *allocation, uint64_t now_ns)
{
	uint64_t next_ns = allocation->next_ns > now_ns ? allocation->next_ns : now_ns;

	if (next_ns + allocation->interval_ns > now_ns + S_NS)
		return false;
	allocation->next_ns = next_ns + allocation->interval_ns;
	return true;
}

/* --- keys and waiters ---------------------------------------------------------------------------- */

static uint64_t hash_text(const struct allocation *allocation, const char *text)
{
	struct siphash hash = siphash_init(&allocation->hash_key);

	siphash_text(&hash, text);
	return siphash_final(&hash);
}

static uint64_t hash_key(const struct allocation *allocation, const struct config_address *client, const char *fqdn)
{
	struct siphash hash = siphash_init(&allocation->hash_key);

	siphash_word(&hash, client->addr.halves[0]);
	siphash_word(&hash, client->addr.halves[1]);
	siphash_word(&hash, client->port);
	siphash_text(&hash, fqdn);
	return siphash_final(&hash);
}

static void list_append(struct list *list, struct key *key)
{
	key->next = NULL;
	if (list->last)
		list->last->next = key;
	else
		list->first = key;
	list->last = key;
}

/* before: the one in front of it; NULL: it is the first. */
static void list_remove(struct list *list, struct key *key, struct key *before)
{
	if (before)
		before->next = key->next;
	else
		list->first = key->next;
	if (list->last == key)
		list->last = before;
}

static struct key *key_find(const struct allocation *allocation, uint64_t hash, const struct config_address *client,
			    const char *fqdn, const char *fleet)
{
	struct key *key = allocation->keys[hash % BUCKETS];

	while (key && (key->hash != hash || key->client.port != client->port ||
		       !addr_equal(&key->client.addr, &client->addr) || strcmp(key->fqdn, fqdn) != 0 ||
		       strcmp(key->fleet, fleet) != 0))
		key = key->in_bucket;
	return key;
}

static struct key *key_add(struct allocation *allocation, uint64_t hash, const struct config_address *client,
			   const char *fqdn, const char *fleet)
{
	struct key *key = calloc(1, sizeof(*key)), **bucket = &allocation->keys[hash % BUCKETS];

	if (!key)
		return NULL;
	key->hash = hash;
	key->fleet_hash = hash_text(allocation, fleet);
	key->client = *client;
	snprintf(key->fqdn, sizeof(key->fqdn), "%s", fqdn);
	snprintf(key->fleet, sizeof(key->fleet), "%s", fleet);
	key->in_bucket = *bucket;
	*bucket = key;
	allocation->stats.keys++;
	return key;
}

static void key_free(struct allocation *allocation, struct key *key)
{
	struct key **at = &allocation->keys[key->hash % BUCKETS];

	while (*at != key)
		at = &(*at)->in_bucket;
	*at = key->in_bucket;
	allocation->stats.keys--;
	free(key);
}

static struct waiter **waiter_bucket(struct allocation *allocation, const struct key *key, uint64_t id)
{
	struct siphash hash = siphash_init(&allocation->hash_key);

	siphash_word(&hash, key->hash);
	siphash_word(&hash, id);
	return &allocation->waiters[siphash_final(&hash) % BUCKETS];
}

static bool waiter_exists(struct allocation *allocation, const struct key *key, uint64_t id)
{
	const struct waiter *waiter = *waiter_bucket(allocation, key, id);

	while (waiter && (waiter->key != key || waiter->id != id))
		waiter = waiter->in_bucket;
	return waiter;
}

static bool waiter_add(struct allocation *allocation, struct key *key, uint64_t id)
{
	struct waiter *waiter = malloc(sizeof(*waiter)), **bucket = waiter_bucket(allocation, key, id);

	if (!waiter)
		return false;
	*waiter = (struct waiter){ .in_bucket = *bucket, .next = key->waiters, .key = key, .id = id };
	*bucket = waiter;
	key->waiters = waiter;
	allocation->stats.waiting++;
	return true;
}

/* Out of the buckets; the chain of `next` is the caller's. */
static struct waiter *waiters_take(struct allocation *allocation, struct key *key)
{
	struct waiter *all = key->waiters;

	for (struct waiter *waiter = all; waiter; waiter = waiter->next) {
		struct waiter **at = waiter_bucket(allocation, key, waiter->id);

		while (*at != waiter)
			at = &(*at)->in_bucket;
		*at = waiter->in_bucket;
		allocation->stats.waiting--;
	}
	key->waiters = NULL;
	return all;
}

static void forget_until(struct allocation *allocation, struct list *list, uint64_t now_ns)
{
	while (list->first && list->first->forget_ns <= now_ns) {
		struct key *key = list->first;

		list_remove(list, key, NULL);
		key_free(allocation, key);
	}
}

/* --- asking -------------------------------------------------------------------------------------- */

/* A key that is new: may it be asked for? False: counted. */
static bool admit(struct allocation *allocation, const struct config_address *client, uint64_t now_ns)
{
	const struct allocation_options *options = &allocation->options;
	struct allocation_stats *stats = &allocation->stats;

	if (stats->keys >= options->keys_max || stats->queued >= options->queue_max ||
	    stats->waiting >= options->waiting_max) {
		stats->limited_full++;
		return false;
	}
	/* The client's first: one that is over its own rate must not use up the others'. */
	if (!source_limit_take(&allocation->clients, &client->addr, now_ns)) {
		stats->limited_client++;
		return false;
	}
	if (!overall_take(allocation, now_ns)) {
		stats->limited_overall++;
		return false;
	}
	return true;
}

static bool enqueue(struct allocation *allocation, uint64_t id, uint64_t hash, const struct config_address *client,
		    const char *fqdn, const char *fleet, uint64_t now_ns)
{
	struct key *key;

	if (!admit(allocation, client, now_ns))
		return false;
	key = key_add(allocation, hash, client, fqdn, fleet);
	if (!key || !waiter_add(allocation, key, id)) {
		if (key)
			key_free(allocation, key);
		allocation->stats.limited_full++;
		return false;
	}
	key->queued_ns = now_ns;
	list_append(&allocation->queue, key);
	allocation->stats.queued++;
	pthread_cond_signal(&allocation->queued);
	return true;
}

static bool join(struct allocation *allocation, struct key *key, uint64_t id)
{
	if (waiter_exists(allocation, key, id))
		return true;
	if (allocation->stats.waiting >= allocation->options.waiting_max || !waiter_add(allocation, key, id)) {
		allocation->stats.limited_full++;
		return false;
	}
	allocation->stats.shared++;
	return true;
}

void allocation_ask(struct allocation *allocation, uint64_t id, const struct config_address *client, const char *fqdn,
		    const char *fleet)
{
	uint64_t hash = hash_key(allocation, client, fqdn), now_ns = allocation->options.now_ns();
	enum agones_verdict verdict = AGONES_LIMITED;
	struct config_address server = { 0 };
	bool later = false;
	struct key *key;

	pthread_mutex_lock(&allocation->lock);
	allocation->stats.questions++;
	forget_until(allocation, &allocation->servers, now_ns);
	forget_until(allocation, &allocation->failures, now_ns);
	key = key_find(allocation, hash, client, fqdn, fleet);
	if (!key) {
		later = enqueue(allocation, id, hash, client, fqdn, fleet, now_ns);
	} else if (key->state != ANSWERED) {
		later = join(allocation, key, id);
	} else {
		verdict = key->verdict;
		server = key->server;
		allocation->stats.remembered++;
	}
	allocation->stats.answers[verdict] += !later;
	pthread_mutex_unlock(&allocation->lock);
	if (!later)
		allocation->options.answer(allocation->options.context, id, verdict,
					   verdict == AGONES_ALLOCATED ? &server : NULL);
}

/* --- workers ------------------------------------------------------------------------------------- */

static bool fleet_has_its_share(const struct allocation *allocation, const struct key *key)
{
	unsigned busy = 0;

	for (unsigned i = 0; i < allocation->worker_count; i++)
		busy += allocation->asking[i] && allocation->asking[i]->fleet_hash == key->fleet_hash;
	return busy >= allocation->worker_count - allocation->worker_count / 4;
}

static bool is_late(const struct allocation *allocation, const struct key *key, uint64_t now_ns)
{
	return now_ns > key->queued_ns + allocation->patience_ns;
}

/* The first that may be taken; NULL: none. */
static struct key *queue_take(struct allocation *allocation, uint64_t now_ns)
{
	struct key *before = NULL, *key = allocation->queue.first;

	for (; key; before = key, key = key->next) {
		if (!is_late(allocation, key, now_ns) && fleet_has_its_share(allocation, key))
			continue;
		list_remove(&allocation->queue, key, before);
		allocation->stats.queued--;
		return key;
	}
	return NULL;
}

/* Under the lock, which it leaves for a while. */
static void answer_all(struct allocation *allocation, struct key *key, enum agones_verdict verdict,
		       const struct config_address *server)
{
	struct waiter *waiter = waiters_take(allocation, key), *next;
	bool found = verdict == AGONES_ALLOCATED;
	struct config_address copy = found ? *server : (struct config_address){ 0 };

	key->state = ANSWERED;
	key->verdict = verdict;
	key->server = copy;
	key->forget_ns = allocation->options.now_ns() + (found ? SERVER_KNOWN_S : FAILURE_KNOWN_S) * S_NS;
	list_append(found ? &allocation->servers : &allocation->failures, key);
	for (next = waiter; next; next = next->next)
		allocation->stats.answers[verdict]++;
	pthread_mutex_unlock(&allocation->lock);
	for (; waiter; waiter = next) {
		next = waiter->next;
		allocation->options.answer(allocation->options.context, waiter->id, verdict, found ? &copy : NULL);
		free(waiter);
	}
	pthread_mutex_lock(&allocation->lock);
}

static void ask(struct allocation *allocation, unsigned worker, struct key *key)
{
	char error[AGONES_ERROR_BYTES];
	struct agones_server server;
	enum agones_verdict verdict;

	key->state = ASKING;
	allocation->asking[worker] = key;
	pthread_mutex_unlock(&allocation->lock);
	/* The key stays, and its fleet is not written: only who answers it lets it go. */
	verdict = allocation->options.source(allocation->options.source_context, key->fleet, &server, error);
	pthread_mutex_lock(&allocation->lock);
	allocation->asking[worker] = NULL;
	answer_all(allocation, key, verdict, &server.address);
}

/* For a key; not for long while there are some that may not be taken yet. */
static void wait_queued(struct allocation *allocation)
{
	struct timespec until = clock_timespec(clock_now_ns() + RECHECK_MS * MS_NS);

	if (allocation->queue.first)
		pthread_cond_timedwait(&allocation->queued, &allocation->lock, &until);
	else
		pthread_cond_wait(&allocation->queued, &allocation->lock);
}

struct worker_start {
	struct allocation *allocation;
	unsigned worker;
};

static void *worker_main(void *context)
{
	struct worker_start start = *(struct worker_start *)context;
	struct allocation *allocation = start.allocation;

	free(context);
	pthread_mutex_lock(&allocation->lock);
	while (!allocation->stopping) {
		uint64_t now_ns = allocation->options.now_ns();
		struct key *key = queue_take(allocation, now_ns);

		if (!key) {
			wait_queued(allocation);
		} else if (is_late(allocation, key, now_ns)) {
			allocation->stats.limited_late++;
			answer_all(allocation, key, AGONES_LIMITED, NULL);
		} else {
			ask(allocation, start.worker, key);
		}
	}
	pthread_mutex_unlock(&allocation->lock);
	return NULL;
}

static bool worker_begin(struct allocation *allocation)
{
	struct worker_start *start = malloc(sizeof(*start));

	if (!start)
		return false;
	*start = (struct worker_start){ allocation, allocation->worker_count };
	pthread_mutex_lock(&allocation->lock); /* those that run already count them */
	if (pthread_create(&allocation->workers[allocation->worker_count], NULL, worker_main, start)) {
		pthread_mutex_unlock(&allocation->lock);
		free(start);
		return false;
	}
	allocation->worker_count++;
	pthread_mutex_unlock(&allocation->lock);
	return true;
}

/* --- start and end ------------------------------------------------------------------------------- */

static enum agones_verdict ask_agones(void *context, const char *fleet, struct agones_server *server,
				      char error[static AGONES_ERROR_BYTES])
{
	return agones_allocate(context, fleet, server, error);
}

static void options_set(struct allocation *allocation, const struct allocation_options *options)
{
	struct allocation_options *own = &allocation->options;

	*own = *options;
	if (!own->source) {
		own->source = ask_agones;
		own->source_context = own->agones;
	}
	own->now_ns = own->now_ns ? own->now_ns : clock_now_ns;
	own->workers = own->workers ? own->workers : 48;
	own->keys_max = own->keys_max ? own->keys_max : 65536;
	own->waiting_max = own->waiting_max ? own->waiting_max : 65536;
	own->queue_max = own->queue_max ? own->queue_max : 4096;
	allocation->patience_ns = options->config->timeout_ms * MS_NS / 2;
	allocation->interval_ns = S_NS / options->config->max_allocations_per_s;
}

struct allocation *allocation_new(const struct allocation_options *options)
{
	struct allocation *allocation = calloc(1, sizeof(*allocation));

	if (!allocation) {
		log_errorx("agones: no memory");
		return NULL;
	}
	options_set(allocation, options);
	if (getrandom(&allocation->hash_key, sizeof(allocation->hash_key), 0) != sizeof(allocation->hash_key))
		allocation->hash_key.k0 = (uintptr_t)allocation; /* no kernel of ours answers less */
	source_limit_init(&allocation->clients, &allocation->hash_key,
			  options->config->max_allocations_per_s_per_client);
	pthread_mutex_init(&allocation->lock, NULL);
	clock_cond_init(&allocation->queued);
	allocation->workers = calloc(allocation->options.workers, sizeof(allocation->workers[0]));
	allocation->asking = calloc(allocation->options.workers, sizeof(allocation->asking[0]));
	while (allocation->workers && allocation->asking && allocation->worker_count < allocation->options.workers)
		if (!worker_begin(allocation))
			break;
	if (allocation->worker_count < allocation->options.workers) {
		log_errorx("agones: workers cannot be started");
		allocation_free(allocation);
		return NULL;
	}
	return allocation;
}

void allocation_free(struct allocation *allocation)
{
	if (!allocation)
		return;
	pthread_mutex_lock(&allocation->lock);
	allocation->stopping = true;
	pthread_cond_broadcast(&allocation->queued);
	pthread_mutex_unlock(&allocation->lock);
	for (unsigned i = 0; i < allocation->worker_count; i++)
		pthread_join(allocation->workers[i], NULL);
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (allocation->keys[i]) {
			struct waiter *waiter = waiters_take(allocation, allocation->keys[i]), *next;

			for (; waiter; waiter = next) {
				next = waiter->next;
				free(waiter);
			}
			key_free(allocation, allocation->keys[i]);
		}
	}
	free(allocation->asking);
	free(allocation->workers);
	pthread_cond_destroy(&allocation->queued);
	pthread_mutex_destroy(&allocation->lock);
	free(allocation);
}

/* --- the API, and counters ----------------------------------------------------------------------- */

enum agones_verdict allocation_allocate(struct allocation *allocation, const char *fleet, struct agones_server *server,
					char error[static AGONES_ERROR_BYTES])
{
	bool admitted;

	pthread_mutex_lock(&allocation->lock);
	admitted = overall_take(allocation, allocation->options.now_ns());
	allocation->stats.limited_overall += !admitted;
	pthread_mutex_unlock(&allocation->lock);
	if (admitted)
		return allocation->options.source(allocation->options.source_context, fleet, server, error);
	memset(server, 0, sizeof(*server));
	snprintf(error, AGONES_ERROR_BYTES, "more than agones.max_allocations_per_s");
	return AGONES_LIMITED;
}

void allocation_stats(struct allocation *allocation, struct allocation_stats *stats)
{
	pthread_mutex_lock(&allocation->lock);
	*stats = allocation->stats;
	pthread_mutex_unlock(&allocation->lock);
}

struct agones *allocation_agones(struct allocation *allocation)
{
	return allocation->options.agones;
}
