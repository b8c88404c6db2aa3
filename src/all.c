/* SPDX-License-Identifier: BSD-2-Clause */
/* The whole library as one translation unit, for extensions that carry it along: add this file to
 * the sources, and include/ to the include path. With LW_PYTHON defined it has what
 * <latchwork/cpython.h> declares, and needs Python.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

/* Sources are what this file includes, on purpose. NOLINTBEGIN(bugprone-suspicious-include) */
#ifdef LW_PYTHON
#include "python/cpython.c" /* first, as Python.h wants to be */
#endif

#include "platform/platform.h"

#include "base/domain.c"
#include "base/park.c"
#include "base/status.c"
#include "base/thread.c"

#include "locks/barrier.c"
#include "locks/biased_mutex.c"
#include "locks/cond.c"
#include "locks/critical.c"
#include "locks/event.c"
#include "locks/latch.c"
#include "locks/mutex.c"
#include "locks/once.c"
#include "locks/rmutex.c"
#include "locks/rwlock.c"
#include "locks/sem.c"
#include "locks/seqlock.c"
#include "locks/shared_rwlock.c"

#include "lifetime/ref.c"
#include "lifetime/smr.c"

#include "containers/map.c"

/* Last, for windows.h takes many names. */
#include "platform/membarrier.c"
#if defined(LW_PLATFORM_WINDOWS)
#include "platform/windows.c"
#else
#include "platform/unix.c"
#if defined(LW_PLATFORM_POSIX)
#include "platform/posix.c"
#else
#include "platform/futex.c"
#endif
#endif
/* NOLINTEND(bugprone-suspicious-include) */
