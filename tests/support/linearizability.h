/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether a history of operations on one object could have happened one after the other. After J.
 * Wing, C. Gong (1993): try every order that respects "ended before the other began"; with G.
 * Lowe's (2017) memory of what was tried already. Operations on different keys of a map are checked
 * key by key, which loses nothing. */
#ifndef LW_TESTS_LINEARIZABILITY_H
#define LW_TESTS_LINEARIZABILITY_H

#include "support.h"

enum { HISTORY_MAX = 64 };

/* The state of one object: absent, or a value. */
typedef struct lin_state {
    uint64_t value;
    bool present;
} lin_state;

typedef struct lin_op {
    uint64_t begin, end; /* of one clock for the whole history; every one is different */
    uint64_t argument[2];
    uint64_t result;
    uint64_t key;
    int kind;
    int status;
} lin_op;

/* Does `op` to the state; false if the operation could not have answered so. */
typedef bool (*lin_step_fn)(lin_state *state, const lin_op *op);

bool lin_check(const lin_op *ops, size_t count, lin_state initial, lin_step_fn step);

/* The clock. */
uint64_t lin_now(void);

/* How many pairs of operations overlap in time: a history without any tells nothing. */
size_t lin_overlaps(const lin_op *ops, size_t count);

#endif
