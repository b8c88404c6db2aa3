/* SPDX-License-Identifier: BSD-2-Clause */
/* Atomics: the one door through which this library touches memory that threads share.
 *
 * The order is part of each name and is never defaulted:
 *
 *   lw_atomic_load_{relaxed,acquire}_T(const lw_atomic_T *)                 -> value
 *   lw_atomic_store_{relaxed,release}_T(lw_atomic_T *, value)
 *   lw_atomic_exchange_{relaxed,acquire,release,acq_rel}_T(lw_atomic_T *, value)   -> old value
 *   lw_atomic_cas_{relaxed,acquire,release,acq_rel}_T(lw_atomic_T *, &expected, desired) -> bool
 *   lw_atomic_{add,sub,or,and,xor}_{relaxed,acquire,release,acq_rel}_T(lw_atomic_T *, n) -> old
 *
 * T is u8, u32, u64 or ptr (void *); the arithmetic exists for u32 and u64. A cas does not fail
 * spuriously; one that fails has the load half of its order (acquire for acquire and acq_rel, else
 * relaxed) and stores what it saw into `expected`.
 *
 *   lw_fence_seq_cst()   orders earlier stores before later loads. Nothing else here is a fence:
 *                        data is published by a release store and read by an acquire load, which
 *                        race detectors understand.
 *   lw_fence_light()     the cheap half of an asymmetric pair: only the compiler is bound.
 *                        The dear half (lw_membarrier_) makes every running thread
 *                        of the process execute a full fence. After P. Sewell et al.'s use of
 *                        sys_membarrier in liburcu, and C++ proposal P1202.
 *   LW_PLAIN(T) f        a field that is shared but protected by something else (a lock, a
 *                        publication): read by LW_PLAIN_GET(f), written by LW_PLAIN_SET(f, v).
 *                        A plain T in production; checked for races under the model checker.
 *   lw_cpu_relax()       a hint inside a spin loop.
 *
 * Every function is wait-free on the targets supported (x86-64, aarch64), may be called from any
 * thread in any attach state, and cannot fail.
 *
 * Back ends: gnu (gcc, clang: the __atomic builtins), msvc (intrinsics), and for tests tsan (gnu,
 * with fences shown to ThreadSanitizer), noise (gnu, with a random delay at each operation) and
 * relacy (the Relacy model checker; C++ only). The same sources compile with each. */
#ifndef LATCHWORK_ATOMIC_H
#define LATCHWORK_ATOMIC_H

#include <latchwork/config.h>

#if defined(LW_ATOMIC_RELACY)
#include <latchwork/atomic/relacy.h>
#elif defined(LW_ATOMIC_MSVC) || (defined(_MSC_VER) && !defined(__clang__))
#include <latchwork/atomic/msvc.h>
#elif defined(LW_ATOMIC_NOISE)
#include <latchwork/atomic/noise.h>
#elif defined(LW_ATOMIC_TSAN) || defined(__SANITIZE_THREAD__)
#include <latchwork/atomic/tsan.h>
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#include <latchwork/atomic/tsan.h>
#else
#include <latchwork/atomic/gnu.h>
#endif
#else
#include <latchwork/atomic/gnu.h>
#endif

#endif /* LATCHWORK_ATOMIC_H */
