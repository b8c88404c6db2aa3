/* SPDX-License-Identifier: BSD-2-Clause */
/* What a section costs beside its locks: plain pairs, one after the other. */
#include <latchwork/mutex.h>

#include "../gbench.h"

#define CRITICAL_NAME "lw_mutex pairs"
#define CRITICAL_ID critical_pairs
typedef lw_mutex_t critical_object;
#define critical_make(o) lw_mutex_init(o)
#define critical_drop(o) ((void)(o))

static inline void pairs(lw_mutex_t *o, int n)
{
    int i;
    for (i = 0; i < n; i++) {
        lw_mutex_lock(&o[i]);
        gb_clobber();
        lw_mutex_unlock(&o[i]);
    }
}

#define CRITICAL_ONE(o) pairs(o, 1)
#define CRITICAL_TWO(o) pairs(o, 2)
#define CRITICAL_FOUR(o) pairs(o, 4)
#define CRITICAL_NESTED(o) pairs(o, 2)

#include "../critical_rows.h"
