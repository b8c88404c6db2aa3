/* SPDX-License-Identifier: BSD-2-Clause */
/* The key of one operation on a ConcurrentDict, and what is known about the stored keys that
 * collide with it.
 *
 * The map compares keys inside of a section or under a stripe's lock, where no foreign code may
 * run. Keys of the common builtin types are decided there. For any other key the probe takes a
 * reference to the stored key and the operation stops with LW_AGAIN; probe_decide then runs __eq__
 * with nothing held and notes the answer, and the operation is repeated. So while __eq__ runs, both
 * keys are alive, the dictionary may be changed by anybody, and no thread waits. The reference is
 * kept until the operation is done: an answer is noted by the stored key's address, which therefore
 * cannot come to mean another object.
 *
 * Each repeat decides one more stored key with the same 64-bit hash; as with dict, only an
 * endless supply of new colliding keys, each inserted while the one before it was being
 * compared, could keep an operation from ending. */
#ifndef LATCHWORK_PYEXT_PROBE_H
#define LATCHWORK_PYEXT_PROBE_H

#include "core.h"

enum { PROBE_INLINE = 4 };

typedef struct probe_answer {
    PyObject *stored; /* owned */
    bool equal;
} probe_answer;

typedef struct probe {
    PyObject *key;       /* borrowed */
    PyObject *undecided; /* owned; set by the comparison that stopped the operation */
    size_t count;
    size_t capacity;
    size_t next; /* where the next answer is looked for first: chains keep their order */
    probe_answer *answers;
    probe_answer inline_answers[PROBE_INLINE];
} probe;

/* What `key` and `stored` say without foreign code, allocation or error. */
lw_match probe_compare_native(PyObject *stored, PyObject *key);

/* lw_match_fn; the probe is the argument. */
lw_match probe_match(void *arg, uint64_t stored_key);

/* lw_match_fn that knows one object and nothing else; the object is the argument. */
lw_match probe_match_identity(void *arg, uint64_t stored_key);

/* After LW_AGAIN, with nothing held: 0, or -1 with an exception. */
int probe_decide(probe *p);

void probe_clear_slow(probe *p);

/* 0, or -1 with what __hash__ raised. */
static inline int probe_init(probe *p, lw_key_t *out, PyObject *key)
{
    Py_hash_t hash = PyObject_Hash(key);
    if (hash == -1) {
        return -1;
    }
    p->key = key;
    p->undecided = NULL;
    p->count = 0;
    p->capacity = PROBE_INLINE;
    p->next = 0;
    p->answers = p->inline_answers;
    out->number = lw_value_ptr(key);
    out->bytes = NULL;
    out->size = 0;
    out->hash = (uint64_t)hash;
    out->match = probe_match;
    out->probe = p;
    return 0;
}

/* Drops the references: foreign code may run. */
static inline void probe_clear(probe *p)
{
    if (LW_UNLIKELY(p->count != 0 || p->undecided != NULL)) {
        probe_clear_slow(p);
    }
}

/* Runs `call`, an operation of the map on the key that belongs to `p`, until it has an answer,
 * and assigns that to `status`; LW_AGAIN means that an exception is set. */
#define PROBE_RUN(p, status, call)                                                                 \
    do {                                                                                           \
        (status) = (call);                                                                         \
    } while (LW_UNLIKELY((status) == LW_AGAIN) && probe_decide(p) == 0)

#endif /* LATCHWORK_PYEXT_PROBE_H */
