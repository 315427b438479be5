/* SPDX-License-Identifier: MIT */
/* neighbour: see neighbour.h. */
#include "neighbour.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <urcu-qsbr.h>

#include "bpf/table.h"
#include "log.h"
#include "table.h"

enum {
	INDEX_CELLS = NEXTHOPS_MAX * 2,  /* half full at most: short probes */
	RETRY_S_MAX = 30,
	REFRESH_S = 30,                  /* base_reachable_time's default: as often as the kernel's own traffic would */
	ASKS_MAX = 256,                  /* a round of housekeeping, some 2 ms */
	EVICT_BATCH = 64,                /* slots freed at once, since it costs an index and a grace period */
	/* NDA_PROTOCOL, as RTPROT_*: marks managed neighbours as ours, for a successor too. Any free number. */
	OWNER = 0x51,
};

#define STATES_RESOLVED (NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE)

/* Open addressing, linear probing: slot + 1, 0 is empty. Cells are only filled; to empty one a new index is made. */
struct index {
	uint16_t cells[INDEX_CELLS];
};

struct slot {
	bool live;
	bool keep;
	bool managed;          /* by the kernel, for us */
	bool untouchable;      /* somebody else's care: an NTF_USE would take their flags away */
	bool failed;           /* was given up by the kernel and has not resolved since */
	bool dumped;           /* the dump in progress has it */
	uint8_t state;         /* NUD_* */
	uint8_t wait_s;        /* from asked_s to the next try */
	uint8_t mac[6];        /* valid in a resolved state */
	uint32_t asked_s;
};

struct link {
	uint8_t mac[6];
	uint16_t mtu_bytes;
};

struct neighbours {
	struct index *index;              /* atomic */
	struct siphash_key hash_key;
	struct nexthop *entries;
	struct netlink *netlink;
	uint32_t now_s;
	uint16_t tended;                  /* where housekeeping goes on */
	uint16_t free_count;
	uint16_t free[NEXTHOPS_MAX];
	struct link links[INTERFACES_MAX];
	struct slot slots[NEXTHOPS_MAX];
	struct neighbour_key keys[NEXTHOPS_MAX]; /* read by readers that found the slot in the index */
	uint8_t found[NEXTHOPS_MAX];      /* set by readers: the slot was found since the last housekeeping */
};

/* --- index --------------------------------------------------------------------------------------- */

/* The MTU is left out: a neighbour's slots are found together when it changes. */
static uint32_t key_cell(const struct neighbours *neighbours, const struct addr *address, uint32_t ifindex)
{
	return (uint32_t)table_hash_addr(&neighbours->hash_key, address, ifindex, 0) % INDEX_CELLS;
}

static bool key_equal(const struct neighbour_key *a, const struct neighbour_key *b)
{
	return addr_equal(&a->address, &b->address) && a->ifindex == b->ifindex && a->mtu_bytes == b->mtu_bytes;
}

bool neighbour_find(const struct neighbours *neighbours, const struct neighbour_key *key, uint16_t *slot)
{
	/* acquire: pairs with the release in slots_evict; the new index is complete. */
	const struct index *index = __atomic_load_n(&neighbours->index, __ATOMIC_ACQUIRE);
	uint32_t at = key_cell(neighbours, &key->address, key->ifindex);
	uint8_t *found = (uint8_t *)neighbours->found;

	for (;; at = (at + 1) % INDEX_CELLS) {
		/* acquire: pairs with the release in index_insert; the slot's key is visible. */
		uint16_t cell = __atomic_load_n(&index->cells[at], __ATOMIC_ACQUIRE);

		if (!cell)
			return false;
		if (!key_equal(&neighbours->keys[cell - 1], key))
			continue;
		*slot = cell - 1;
		/* Read first: the line is written once a second, not with every look-up. */
		if (!__atomic_load_n(&found[*slot], __ATOMIC_RELAXED))
			__atomic_store_n(&found[*slot], 1, __ATOMIC_RELAXED);
		return true;
	}
}

static void index_insert(const struct neighbours *neighbours, struct index *index, uint16_t slot)
{
	const struct neighbour_key *key = &neighbours->keys[slot];
	uint32_t at = key_cell(neighbours, &key->address, key->ifindex);

	while (index->cells[at])
		at = (at + 1) % INDEX_CELLS;
	/* release: pairs with the acquire in neighbour_find; keys[slot] was written before. */
	__atomic_store_n(&index->cells[at], (uint16_t)(slot + 1), __ATOMIC_RELEASE);
}

/* --- entries ------------------------------------------------------------------------------------- */

static bool slot_is_resolved(const struct slot *slot)
{
	return slot->state & STATES_RESOLVED;
}

/* Has the shared entry say what is known now. */
static void slot_write(struct neighbours *neighbours, uint16_t at)
{
	const struct neighbour_key *key = &neighbours->keys[at];
	const struct slot *slot = &neighbours->slots[at];
	const struct link *link = &neighbours->links[key->interface];
	struct nexthop *entry = &neighbours->entries[at];
	struct nexthop next = { .ifindex = key->ifindex, .interface = key->interface, .mtu_bytes = link->mtu_bytes };

	if (key->mtu_bytes && key->mtu_bytes < next.mtu_bytes)
		next.mtu_bytes = key->mtu_bytes;
	memcpy(next.smac, link->mac, sizeof(next.smac));
	if (slot_is_resolved(slot)) {
		memcpy(next.dmac, slot->mac, sizeof(next.dmac));
		next.flags = NEXTHOP_RESOLVED;
	}
	if (entry_is_live(entry) &&
	    memcmp((uint8_t *)entry + sizeof(entry->head), (uint8_t *)&next + sizeof(next.head),
		   sizeof(next) - sizeof(next.head)) == 0)
		return;
	entry_write(entry, &next, sizeof(next));
}

/* --- the kernel's neighbours --------------------------------------------------------------------- */

/* One RTM_NEWNEIGH or RTM_DELNEIGH as plain data. */
struct report {
	struct addr address;
	uint32_t ifindex;
	uint8_t state;       /* NUD_*; 0 when gone, or resolved without an Ethernet address */
	bool managed, untouchable;
	uint8_t mac[6];
};

static bool report_parse(const struct nlmsghdr *message, struct report *report)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attributes[NDA_MAX + 1];
	const struct nlattr *mac, *protocol;
	bool managed, ours;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*header) || header->ndm_flags & NTF_PROXY)
		return false;
	memset(report, 0, sizeof(*report));
	netlink_attributes(message, sizeof(*header), attributes, NDA_MAX);
	if (!netlink_addr(attributes[NDA_DST], header->ndm_family, &report->address))
		return false; /* a bridge's, for instance */
	report->ifindex = (uint32_t)header->ndm_ifindex;
	if (message->nlmsg_type != RTM_NEWNEIGH)
		return true;
	report->state = (uint8_t)header->ndm_state;
	mac = attributes[NDA_LLADDR];
	if (mac && mnl_attr_get_payload_len(mac) == sizeof(report->mac))
		memcpy(report->mac, mnl_attr_get_payload(mac), sizeof(report->mac));
	else
		report->state &= (uint8_t)~STATES_RESOLVED;
	protocol = attributes[NDA_PROTOCOL];
	ours = protocol && mnl_attr_get_payload_len(protocol) >= 1 && mnl_attr_get_u8(protocol) == OWNER;
	managed = netlink_u32(attributes[NDA_FLAGS_EXT], 0) & NTF_EXT_MANAGED;
	report->managed = managed && ours;
	report->untouchable = (managed && !ours) || header->ndm_flags & NTF_EXT_LEARNED ||
			      header->ndm_state & (NUD_PERMANENT | NUD_NOARP);
	return true;
}

static void slot_apply(struct neighbours *neighbours, uint16_t at, const struct report *report)
{
	struct slot *slot = &neighbours->slots[at];

	if (report->state & STATES_RESOLVED && !slot_is_resolved(slot))
		slot->wait_s = 1;
	slot->state = report->state;
	slot->managed = report->managed;
	slot->untouchable = report->untouchable;
	slot->dumped = true;
	memcpy(slot->mac, report->mac, sizeof(slot->mac));
	if (slot_is_resolved(slot))
		slot->failed = false;
	else if (slot->state & NUD_FAILED)
		slot->failed = true;
	slot_write(neighbours, at);
}

/* Calls do_it for each slot of the neighbour. */
static void slots_each(struct neighbours *neighbours, const struct report *report,
		       void (*do_it)(struct neighbours *neighbours, uint16_t at, const struct report *report))
{
	uint32_t at = key_cell(neighbours, &report->address, report->ifindex);
	uint16_t cell;

	for (; (cell = neighbours->index->cells[at]) != 0; at = (at + 1) % INDEX_CELLS) {
		const struct neighbour_key *key = &neighbours->keys[cell - 1];

		if (key->ifindex == report->ifindex && addr_equal(&key->address, &report->address))
			do_it(neighbours, cell - 1, report);
	}
}

/* An answer to a request of ours. */
static void report_answer(void *context, const struct nlmsghdr *message)
{
	struct report report;

	if (message->nlmsg_type == RTM_NEWNEIGH && report_parse(message, &report))
		slots_each(context, &report, slot_apply);
}

static struct nlmsghdr *request_begin(void *memory, uint16_t type, uint16_t flags, uint8_t neighbour_flags,
				      const struct neighbour_key *key)
{
	struct ndmsg *header = netlink_begin(memory, type, flags, sizeof(*header));

	header->ndm_family = netlink_family(&key->address);
	header->ndm_ifindex = (int32_t)key->ifindex;
	header->ndm_state = NUD_NONE;
	header->ndm_flags = neighbour_flags;
	netlink_put_addr(memory, NDA_DST, &key->address);
	return memory;
}

/* What the kernel knows of it now (Linux 5.0). */
static void slot_read(struct neighbours *neighbours, uint16_t at)
{
	_Alignas(8) uint8_t memory[NETLINK_REQUEST_BYTES];
	struct nlmsghdr *request = request_begin(memory, RTM_GETNEIGH, 0, 0, &neighbours->keys[at]);
	struct report none = { .address = neighbours->keys[at].address, .ifindex = neighbours->keys[at].ifindex };

	if (netlink_request(neighbours->netlink, request, report_answer, neighbours) == -ENOENT)
		slot_apply(neighbours, at, &none);
}

/* Has the kernel resolve the neighbour, or probe it if it is stale; for a kept one, from now on by itself. */
static void slot_ask(struct neighbours *neighbours, uint16_t at)
{
	_Alignas(8) uint8_t memory[NETLINK_REQUEST_BYTES];
	const struct neighbour_key *key = &neighbours->keys[at];
	struct slot *slot = &neighbours->slots[at];
	int error = -EINVAL;

	slot->asked_s = neighbours->now_s;
	/* With both flags an old kernel, which passes over attributes that it does not know, does NTF_USE. */
	if (slot->keep) {
		struct nlmsghdr *request = request_begin(memory, RTM_NEWNEIGH, NLM_F_CREATE, NTF_USE, key);

		mnl_attr_put_u32(request, NDA_FLAGS_EXT, NTF_EXT_MANAGED);
		mnl_attr_put_u8(request, NDA_PROTOCOL, OWNER);
		error = netlink_request(neighbours->netlink, request, NULL, NULL);
	}
	if (error == -EINVAL)
		error = netlink_request(neighbours->netlink,
					request_begin(memory, RTM_NEWNEIGH, NLM_F_CREATE, NTF_USE, key), NULL, NULL);
	/* The link may be down or the kernel's table full: a later try may do better. */
	if (error)
		log_debugx("interface %u: the kernel refuses to resolve a neighbour: %s", key->ifindex,
			   strerror(-error));
}

/* NTF_USE without the managed flag takes that flag back and leaves the rest; without NLM_F_CREATE only if it exists. */
static void managed_release(struct neighbours *neighbours, const struct neighbour_key *key)
{
	_Alignas(8) uint8_t memory[NETLINK_REQUEST_BYTES];

	netlink_request(neighbours->netlink, request_begin(memory, RTM_NEWNEIGH, 0, NTF_USE, key), NULL, NULL);
}

/* Asks if it is time. True if it did. */
static bool slot_tend(struct neighbours *neighbours, uint16_t at)
{
	struct slot *slot = &neighbours->slots[at];
	uint32_t since_s = neighbours->now_s - slot->asked_s;

	if (!slot->live || slot->untouchable)
		return false;
	if (!slot_is_resolved(slot) || (slot->keep && !slot->managed)) {
		if (since_s < slot->wait_s)
			return false;
		slot->wait_s = slot->wait_s * 2 < RETRY_S_MAX ? (uint8_t)(slot->wait_s * 2) : RETRY_S_MAX;
	} else if (!(slot->state & NUD_STALE) || since_s < REFRESH_S) {
		return false;
	}
	slot_ask(neighbours, at);
	return true;
}

static void slot_tend_lost(struct neighbours *neighbours, uint16_t at, const struct report *report)
{
	(void)report;
	if (!slot_is_resolved(&neighbours->slots[at]))
		slot_tend(neighbours, at);
}

void neighbour_notification(struct neighbours *neighbours, const struct nlmsghdr *message)
{
	struct report report;

	if (!report_parse(message, &report))
		return;
	slots_each(neighbours, &report, slot_apply);
	/* One that is in use and was lost need not wait for housekeeping. */
	slots_each(neighbours, &report, slot_tend_lost);
}

int neighbours_resync(struct neighbours *neighbours)
{
	int error;

	for (unsigned i = 0; i < NEXTHOPS_MAX; i++)
		neighbours->slots[i].dumped = false;
	error = netlink_dump(neighbours->netlink, RTM_GETNEIGH, sizeof(struct ndmsg), AF_UNSPEC, report_answer,
			     neighbours);
	if (error)
		return error;
	for (unsigned i = 0; i < NEXTHOPS_MAX; i++) {
		struct report none = { .address = neighbours->keys[i].address, .ifindex = neighbours->keys[i].ifindex };

		if (neighbours->slots[i].live && !neighbours->slots[i].dumped)
			slot_apply(neighbours, (uint16_t)i, &none);
	}
	return 0;
}

/* --- slots --------------------------------------------------------------------------------------- */

/* How much it would hurt to lose the slot; -1: it must not go. */
static int slot_worth(const struct neighbours *neighbours, uint16_t at, const uint64_t *used)
{
	const struct slot *slot = &neighbours->slots[at];

	if (__atomic_load_n(&neighbours->found[at], __ATOMIC_RELAXED))
		return -1; /* perhaps too late for `used` */
	if (!used)
		return slot->failed && !slot->keep ? 0 : -1;
	if (used[at / 64] >> at % 64 & 1)
		return -1;
	return slot->failed ? 0 : slot->keep ? 2 : 1;
}

/* The slots of least worth, at most EVICT_BATCH. */
static unsigned slots_choose(const struct neighbours *neighbours, const uint64_t *used,
			     uint16_t chosen[static EVICT_BATCH])
{
	int least = 3;
	unsigned count = 0;

	for (unsigned i = 0; i < NEXTHOPS_MAX; i++) {
		int worth = slot_worth(neighbours, (uint16_t)i, used);

		if (worth < 0 || worth > least)
			continue;
		if (worth < least)
			count = 0;
		least = worth;
		if (count < EVICT_BATCH)
			chosen[count++] = (uint16_t)i;
	}
	return count;
}

static void slot_free(struct neighbours *neighbours, uint16_t at)
{
	if (neighbours->slots[at].managed)
		managed_release(neighbours, &neighbours->keys[at]);
	entry_clear(&neighbours->entries[at]);
	memset(&neighbours->slots[at], 0, sizeof(neighbours->slots[at]));
	neighbours->free[neighbours->free_count++] = at;
}

/*
 * All slots are taken: frees some. They leave the index first; after a grace
 * period no reader can find them, and those that one found in the meantime are
 * put back, as it may have written the slot into a session.
 */
static int slots_evict(struct neighbours *neighbours, const uint64_t *used)
{
	uint16_t chosen[EVICT_BATCH];
	unsigned count = slots_choose(neighbours, used, chosen);
	struct index *old = neighbours->index;
	struct index *index;

	if (count == 0)
		return -ENOSPC;
	index = calloc(1, sizeof(*index));
	if (!index)
		return -ENOSPC;
	for (unsigned i = 0; i < count; i++)
		neighbours->slots[chosen[i]].live = false;
	for (unsigned i = 0; i < NEXTHOPS_MAX; i++)
		if (neighbours->slots[i].live)
			index_insert(neighbours, index, (uint16_t)i);
	/* release: pairs with the acquire in neighbour_find. */
	__atomic_store_n(&neighbours->index, index, __ATOMIC_RELEASE);
	urcu_qsbr_synchronize_rcu();
	free(old);
	for (unsigned i = 0; i < count; i++) {
		if (__atomic_load_n(&neighbours->found[chosen[i]], __ATOMIC_RELAXED)) {
			neighbours->slots[chosen[i]].live = true;
			index_insert(neighbours, index, chosen[i]);
		} else {
			slot_free(neighbours, chosen[i]);
		}
	}
	return neighbours->free_count ? 0 : -ENOSPC;
}

/* The look-up of neighbour_find, but the steward's own leaves no mark. */
static bool slot_find(const struct neighbours *neighbours, const struct neighbour_key *key, uint16_t *slot)
{
	uint32_t at = key_cell(neighbours, &key->address, key->ifindex);
	uint16_t cell;

	for (; (cell = neighbours->index->cells[at]) != 0; at = (at + 1) % INDEX_CELLS) {
		*slot = cell - 1;
		if (key_equal(&neighbours->keys[*slot], key))
			return true;
	}
	return false;
}

static void slot_make(struct neighbours *neighbours, uint16_t at, const struct neighbour_key *key, bool keep)
{
	struct slot *slot = &neighbours->slots[at];

	*slot = (struct slot){ .live = true, .keep = keep, .wait_s = 1, .asked_s = neighbours->now_s };
	neighbours->keys[at] = *key;
	/* Handed out now, so as good as found: `used` cannot know of it yet. */
	__atomic_store_n(&neighbours->found[at], 1, __ATOMIC_RELAXED);
	slot_write(neighbours, at);
	index_insert(neighbours, neighbours->index, at);
}

int neighbour_want(struct neighbours *neighbours, const struct neighbour_key *key, bool keep, const uint64_t *used,
		   uint16_t *slot)
{
	bool news = true;

	if (slot_find(neighbours, key, slot)) {
		news = keep && !neighbours->slots[*slot].keep;
		neighbours->slots[*slot].keep |= keep;
	} else {
		if (!neighbours->free_count && slots_evict(neighbours, used))
			return -ENOSPC;
		*slot = neighbours->free[--neighbours->free_count];
		slot_make(neighbours, *slot, key, keep);
		slot_read(neighbours, *slot);
	}
	if (!news || neighbours->slots[*slot].untouchable ||
	    (slot_is_resolved(&neighbours->slots[*slot]) && !keep && !(neighbours->slots[*slot].state & NUD_STALE)))
		return 0;
	slot_ask(neighbours, *slot);
	slot_read(neighbours, *slot); /* what needs no answer from the wire is there at once */
	return 0;
}

void neighbour_link(struct neighbours *neighbours, uint16_t interface, const uint8_t mac[static 6], uint16_t mtu_bytes,
		    bool up)
{
	struct link *link = &neighbours->links[interface];

	memcpy(link->mac, mac, sizeof(link->mac));
	link->mtu_bytes = mtu_bytes;
	for (unsigned i = 0; i < NEXTHOPS_MAX; i++) {
		if (!neighbours->slots[i].live || neighbours->keys[i].interface != interface)
			continue;
		slot_write(neighbours, (uint16_t)i);
		if (up)
			neighbours->slots[i].wait_s = 1;
	}
}

void neighbours_housekeeping(struct neighbours *neighbours, uint32_t now_s)
{
	unsigned asks = 0;

	neighbours->now_s = now_s;
	for (unsigned i = 0; i < NEXTHOPS_MAX; i++)
		__atomic_store_n(&neighbours->found[i], 0, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < NEXTHOPS_MAX && asks < ASKS_MAX; i++) {
		asks += slot_tend(neighbours, neighbours->tended);
		neighbours->tended = (neighbours->tended + 1) % NEXTHOPS_MAX;
	}
}

/* --- the whole ----------------------------------------------------------------------------------- */

/* A predecessor's managed neighbours are gathered in `keys`, which no slot needs yet. */
struct leftovers {
	struct neighbours *neighbours;
	const uint32_t *ifindexes;
	unsigned ifindex_count, count;
};

static void leftover_note(void *context, const struct nlmsghdr *message)
{
	struct leftovers *leftovers = context;
	struct report report;

	if (message->nlmsg_type != RTM_NEWNEIGH || !report_parse(message, &report) || !report.managed)
		return;
	for (unsigned i = 0; i < leftovers->ifindex_count && leftovers->count < NEXTHOPS_MAX; i++)
		if (leftovers->ifindexes[i] == report.ifindex)
			leftovers->neighbours->keys[leftovers->count++] =
				(struct neighbour_key){ .address = report.address, .ifindex = report.ifindex };
}

static void leftovers_release(struct neighbours *neighbours, const uint32_t *ifindexes, unsigned ifindex_count)
{
	struct leftovers leftovers = { neighbours, ifindexes, ifindex_count, 0 };

	netlink_dump(neighbours->netlink, RTM_GETNEIGH, sizeof(struct ndmsg), AF_UNSPEC, leftover_note, &leftovers);
	for (unsigned i = 0; i < leftovers.count; i++)
		managed_release(neighbours, &neighbours->keys[i]);
}

struct neighbours *neighbours_new(struct nexthop *entries, struct netlink *netlink, const uint32_t *ifindexes,
				  unsigned ifindex_count)
{
	struct neighbours *neighbours = calloc(1, sizeof(*neighbours));

	if (!neighbours)
		return NULL;
	neighbours->index = calloc(1, sizeof(*neighbours->index));
	if (!neighbours->index ||
	    getrandom(&neighbours->hash_key, sizeof(neighbours->hash_key), 0) != sizeof(neighbours->hash_key))
		goto err_neighbours;
	neighbours->entries = entries;
	neighbours->netlink = netlink;
	for (unsigned i = 0; i < NEXTHOPS_MAX; i++) {
		neighbours->free[i] = (uint16_t)(NEXTHOPS_MAX - 1 - i);
		/* Half-written ones too: their writer was killed. */
		if (entries[i].head.seq & SEQ_STATE_MASK)
			entry_clear(&entries[i]);
	}
	neighbours->free_count = NEXTHOPS_MAX;
	leftovers_release(neighbours, ifindexes, ifindex_count);
	return neighbours;

err_neighbours:
	free(neighbours->index);
	free(neighbours);
	return NULL;
}

void neighbours_free(struct neighbours *neighbours)
{
	if (!neighbours)
		return;
	for (unsigned i = 0; i < NEXTHOPS_MAX; i++) {
		if (!neighbours->slots[i].live || !neighbours->slots[i].keep)
			continue;
		slot_read(neighbours, (uint16_t)i); /* somebody may have made it permanent meanwhile */
		if (neighbours->slots[i].managed && !neighbours->slots[i].untouchable)
			managed_release(neighbours, &neighbours->keys[i]);
	}
	free(neighbours->index);
	free(neighbours);
}
