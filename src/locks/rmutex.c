/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/rmutex.h>

#include "../base/domain_internal.h"

/* Not the address of something of this copy: a thread may lock through one copy of the library and
 * unlock through another. */
uint64_t lw_rmutex_self_(void)
{
    return lw_runner_(lw_domain_get());
}

LW_COLD bool lw_rmutex_forked_(uint64_t owner)
{
    return !lw_runner_is_gone_(lw_domain_get(), owner);
}

void lw_rmutex_deeper_(lw_rmutex_t *m)
{
    uint32_t depth = LW_PLAIN_GET(m->depth);
    if (LW_UNLIKELY(depth == UINT32_MAX)) {
        lw_fatal_("lw_rmutex_lock", "locked too often");
    }
    LW_PLAIN_SET(m->depth, depth + 1);
}

LW_COLD void lw_rmutex_not_owned_(const char *function)
{
    lw_fatal_(function, "the calling thread has not locked the mutex");
}

uint32_t lw_rmutex_save(lw_rmutex_t *m)
{
    uint32_t depth;
    if (LW_UNLIKELY(!lw_rmutex_is_owned(m))) {
        lw_rmutex_not_owned_("lw_rmutex_save");
    }
    depth = LW_PLAIN_GET(m->depth);
    LW_PLAIN_SET(m->depth, 0);
    lw_rmutex_disown_(m);
    return depth;
}

void lw_rmutex_restore(lw_rmutex_t *m, uint32_t depth, unsigned flags)
{
    if (LW_UNLIKELY(depth == 0)) {
        lw_fatal_("lw_rmutex_restore", "there was nothing to restore");
    }
    if (LW_UNLIKELY(lw_rmutex_is_owned(m))) {
        lw_fatal_("lw_rmutex_restore", "the calling thread has locked the mutex");
    }
    (void)!lw_mutex_lock_flags(&m->mutex, -1, flags & LW_WAIT_ATTACHED);
    lw_rmutex_own_(m, lw_rmutex_self_(), depth);
}
