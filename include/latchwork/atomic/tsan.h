/* SPDX-License-Identifier: BSD-2-Clause */
/* The gnu back end for builds under ThreadSanitizer, which does not model fences. A full fence here
 * is a read-modify-write of one shared word: at least as strong as the fence for store-load order.
 * It also orders threads that meet at it, so a race that only this library's few full fences could
 * hide is left to the model checker. */
#ifndef LATCHWORK_ATOMIC_TSAN_H
#define LATCHWORK_ATOMIC_TSAN_H

#include <latchwork/config.h>

LW_EXTERN_C_BEGIN
static inline void lw_fence_tsan_(void)
{
    static uint32_t word;
    (void)__atomic_fetch_add(&word, 0, __ATOMIC_SEQ_CST);
}
LW_EXTERN_C_END

#define LW_FENCE_SEQ_CST_() lw_fence_tsan_()
#include <latchwork/atomic/gnu.h>

#endif /* LATCHWORK_ATOMIC_TSAN_H */
