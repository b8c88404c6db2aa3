/* SPDX-License-Identifier: BSD-2-Clause */
/* What four locks at once cost without a section: sorted by address, locked, unlocked. No list of
 * the thread's sections, no look for a mutex that came twice, none that is held already. */
#include <latchwork/mutex.h>

#include "../gbench.h"

#define CRITICAL_NAME "lw_mutex, four sorted"
#define CRITICAL_ID critical_sorted
typedef lw_mutex_t critical_object;
#define critical_make(o) lw_mutex_init(o)
#define critical_drop(o) ((void)(o))

static inline void order(lw_mutex_t **a, lw_mutex_t **b)
{
    lw_mutex_t *low = (uintptr_t)*a < (uintptr_t)*b ? *a : *b;
    *b = (uintptr_t)*a < (uintptr_t)*b ? *b : *a;
    *a = low;
}

/* Not inlined, or the compiler would sort what it knows. */
static LW_NOINLINE void lock_four(lw_mutex_t **set)
{
    lw_mutex_t *a = set[0], *b = set[1], *c = set[2], *d = set[3];
    order(&a, &b);
    order(&c, &d);
    order(&a, &c);
    order(&b, &d);
    order(&b, &c);
    lw_mutex_lock(a);
    lw_mutex_lock(b);
    lw_mutex_lock(c);
    lw_mutex_lock(d);
    set[0] = a;
    set[1] = b;
    set[2] = c;
    set[3] = d;
}

static inline void four(lw_mutex_t *o)
{
    lw_mutex_t *set[4];
    int i;
    set[0] = &o[2];
    set[1] = &o[0];
    set[2] = &o[3];
    set[3] = &o[1];
    lock_four(set);
    gb_clobber();
    for (i = 0; i < 4; i++) {
        lw_mutex_unlock(set[i]);
    }
}

#define CRITICAL_FOUR(o) four(o)

#include "../critical_rows.h"
