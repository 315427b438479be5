/* SPDX-License-Identifier: MIT */
/* fib: see fib.h. */
#include "fib.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
	STRIDE = 4,                  /* bits a level */
	LEVELS_MAX = 128 / STRIDE,
	V4_OFFSET_BITS = 96,         /* of the IPv4 address in its mapped form */
};

/*
 * A prefix of n bits ends in the node (n - 1) / 4 levels down, with r = 1..4
 * bits of that node's own; only the empty prefix has r = 0, in the root. Bit
 * (1 << r) - 1 + (those r bits) of `values` stands for it, so that a longer
 * match always is a higher bit. Pointers follow in the order of the bits.
 *
 *     node | header | child 0x3 | child 0xa | value "0" | value "1010" |
 */
struct fib_node {
	union {                      /* the writer's alone */
		uint64_t edition;    /* in a tree */
		struct fib_node *next; /* in fib.retired */
	};
	uint32_t values;
	uint16_t children;
	const void *pointers[];
};

/* The prefixes that match a nibble: its first 0, 1, 2, 3 and 4 bits. */
static uint32_t nibble_matches(unsigned nibble)
{
	return 1u | 1u << (1 + (nibble >> 3)) | 1u << (3 + (nibble >> 2)) | 1u << (7 + (nibble >> 1)) |
	       1u << (15 + nibble);
}

static unsigned nibble_at(const struct addr *addr, unsigned offset_bits)
{
	return addr->bytes[offset_bits / 8] >> (offset_bits % 8 ? 0 : 4) & 15;
}

static unsigned bits_below(uint32_t mask, unsigned bit)
{
	return (unsigned)__builtin_popcount(mask & ((1u << bit) - 1));
}

const void *fib_find(const struct fib *fib, unsigned tree, bool v4, const struct addr *dst)
{
	/* acquire: pairs with the release in fib_publish; all nodes below are complete and do not change. */
	const struct fib_node *node = __atomic_load_n(&fib->published[tree], __ATOMIC_ACQUIRE);
	const void *best = NULL;

	for (unsigned offset = v4 ? V4_OFFSET_BITS : 0; node && offset < 128; offset += STRIDE) {
		unsigned nibble = nibble_at(dst, offset);
		uint32_t matches = node->values & nibble_matches(nibble);
		unsigned child_count = (unsigned)__builtin_popcount(node->children);

		if (matches) {
			unsigned longest = 31u - (unsigned)__builtin_clz(matches);

			best = node->pointers[child_count + bits_below(node->values, longest)];
		}
		if (!(node->children & 1u << nibble))
			break;
		node = node->pointers[bits_below(node->children, nibble)];
	}
	return best;
}

static size_t node_pointers(const struct fib_node *node)
{
	return (size_t)__builtin_popcount(node->children) + (size_t)__builtin_popcount(node->values);
}

/* One change to a node: a pointer put, replaced, or (NULL) taken away. */
struct edit {
	bool is_value;   /* else a child */
	unsigned bit;    /* of `values` or `children` */
	const void *pointer;
};

static bool node_has(const struct fib_node *node, const struct edit *edit)
{
	return node && ((edit->is_value ? node->values : node->children) & 1u << edit->bit);
}

static size_t edit_position(const struct fib_node *node, const struct edit *edit)
{
	if (!edit->is_value)
		return bits_below(node->children, edit->bit);
	return (size_t)__builtin_popcount(node->children) + bits_below(node->values, edit->bit);
}

/*
 * What `old` (NULL: an empty node) becomes: a new node, or NULL without an
 * error when nothing is left in it.
 */
static int node_edited(const struct fib *fib, const struct fib_node *old, const struct edit *edit,
		       struct fib_node **edited)
{
	static const struct fib_node empty;
	struct fib_node shape = { .edition = fib->edition };
	bool had = node_has(old, edit);
	uint32_t bit = 1u << edit->bit;
	size_t count, at;

	if (!old)
		old = &empty;
	shape.values = old->values;
	shape.children = old->children;
	if (edit->is_value)
		shape.values = (old->values & ~bit) | (edit->pointer ? bit : 0);
	else
		shape.children = (uint16_t)((old->children & ~bit) | (edit->pointer ? bit : 0));
	*edited = NULL;
	count = node_pointers(&shape);
	if (count == 0)
		return 0;
	*edited = malloc(sizeof(shape) + count * sizeof(shape.pointers[0]));
	if (!*edited)
		return -ENOMEM;
	memcpy(*edited, &shape, sizeof(shape));
	at = edit_position(&shape, edit);
	memcpy((*edited)->pointers, old->pointers, at * sizeof(old->pointers[0]));
	if (edit->pointer)
		(*edited)->pointers[at] = edit->pointer;
	memcpy((*edited)->pointers + at + !!edit->pointer, old->pointers + at + had,
	       (count - at - !!edit->pointer) * sizeof(old->pointers[0]));
	return 0;
}

/* Not in the building tree any more: gone at once if no reader ever saw it. */
static void node_retire(struct fib *fib, struct fib_node *node)
{
	if (!node)
		return;
	if (node->edition == fib->edition) {
		free(node);
		return;
	}
	node->next = fib->retired;
	fib->retired = node;
}

/* From the root to the node of the prefix, NULL from where the tree ends. Returns that node's level. */
static unsigned tree_path(struct fib_node *root, const struct addr *prefix, unsigned offset_bits, unsigned len_bits,
			  struct fib_node *path[static LEVELS_MAX])
{
	unsigned last = len_bits ? (len_bits - 1) / STRIDE : 0;

	path[0] = root;
	for (unsigned level = 0; level < last; level++) {
		unsigned nibble = nibble_at(prefix, offset_bits + level * STRIDE);
		struct edit child = { .bit = nibble };

		path[level + 1] = node_has(path[level], &child) ?
				  (struct fib_node *)path[level]->pointers[edit_position(path[level], &child)] : NULL;
	}
	return last;
}

/*
 * Carries the edit at path[level] up to the root. Copies are made first, so
 * that running out of memory leaves the tree as it was; a node that no reader
 * has seen takes the change in place, if its size stays, and ends the way up.
 */
static int tree_edit(struct fib *fib, unsigned tree, const struct addr *prefix, unsigned offset_bits,
		     struct fib_node *path[static LEVELS_MAX], unsigned level, struct edit edit)
{
	struct fib_node *copies[LEVELS_MAX] = { NULL };
	unsigned at = level;
	int error;

	for (;; at--) {
		struct fib_node *node = path[at];

		if (node && node->edition == fib->edition && edit.pointer && node_has(node, &edit)) {
			node->pointers[edit_position(node, &edit)] = edit.pointer;
			at++;
			break;
		}
		error = node_edited(fib, node, &edit, &copies[at]);
		if (error)
			goto err_copies;
		if (at == 0) {
			fib->building[tree] = copies[0];
			break;
		}
		edit = (struct edit){ .bit = nibble_at(prefix, offset_bits + (at - 1) * STRIDE),
				      .pointer = copies[at] };
	}
	for (; at <= level; at++)
		node_retire(fib, path[at]);
	return 0;

err_copies:
	for (at = 0; at <= level; at++)
		free(copies[at]);
	return error;
}

int fib_set(struct fib *fib, unsigned tree, bool v4, const struct addr *prefix, unsigned len_bits, const void *value)
{
	struct fib_node *path[LEVELS_MAX];
	unsigned offset = v4 ? V4_OFFSET_BITS : 0;
	unsigned level = tree_path(fib->building[tree], prefix, offset, len_bits, path);
	unsigned own_bits = len_bits - level * STRIDE;
	unsigned nibble = len_bits ? nibble_at(prefix, offset + level * STRIDE) : 0;
	struct edit edit = { true, (1u << own_bits) - 1 + (nibble >> (STRIDE - own_bits)), value };

	if (node_has(path[level], &edit) ? path[level]->pointers[edit_position(path[level], &edit)] == value : !value)
		return 0;
	return tree_edit(fib, tree, prefix, offset, path, level, edit);
}

void fib_init(struct fib *fib)
{
	memset(fib, 0, sizeof(*fib));
	fib->edition = 1;
}

bool fib_publish(struct fib *fib)
{
	bool changed = false;

	for (unsigned i = 0; i < FIB_TREES; i++) {
		if (fib->published[i] == fib->building[i])
			continue;
		changed = true;
		/* release: pairs with the acquire in fib_find; readers see the nodes before the root. */
		__atomic_store_n(&fib->published[i], fib->building[i], __ATOMIC_RELEASE);
	}
	fib->edition++;
	return changed;
}

void fib_reclaim(struct fib *fib)
{
	while (fib->retired) {
		struct fib_node *node = fib->retired;

		fib->retired = node->next;
		free(node);
	}
}

static void node_free_all(struct fib_node *node)
{
	if (!node)
		return;
	for (unsigned i = 0; i < (unsigned)__builtin_popcount(node->children); i++)
		node_free_all((struct fib_node *)node->pointers[i]);
	free(node);
}

/* Nodes in building but not published, and the other way round, are fresh and retired ones. */
void fib_end(struct fib *fib)
{
	for (unsigned i = 0; i < FIB_TREES; i++)
		node_free_all(fib->building[i]);
	fib_reclaim(fib);
	fib_init(fib);
}
